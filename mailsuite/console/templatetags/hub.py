"""`{% hub %}`: what belongs to the row of an admin's form (mailsuite.console.hubs)."""

from typing import Any

from django import template

register = template.Library()


@register.inclusion_tag("admin/hub.html", takes_context=True)
def hub(context: Any) -> dict[str, Any]:
    # Libraries of tags are read while the admin's own modules are still being imported.
    from mailsuite.console.hubs import parts_of

    return {"hub_parts": parts_of(context["request"], context.get("original"))}
