"""The page of a domain's DNS records: what to publish, what is there, what to do next."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from mailsuite.adminkit import proof
from mailsuite.adminkit.scoping import ACT
from mailsuite.directory.models import Domain
from mailsuite.errors import ChangeRefused
from mailsuite.records import background, stages
from mailsuite.records.models import DnsCheck
from mailsuite.records.page import context_of
from mailsuite.records.setup import zone_file
from mailsuite.signing.keys import activate_key, start_rotation
from mailsuite.signing.models import DkimKey

# What is done with keys asks for the password anew.
_ACTS = {"rotate": "Make a new DKIM key", "ed25519": "Sign by Ed25519 mail"}


class DnsPages:
    """Part of the domains' admin."""

    admin_site: Any
    opts: Any
    find: Any
    act: Any
    allows: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.records_view)
        urls = super().get_urls()  # type: ignore[misc]
        return [path("<int:object_id>/records/", view, name="directory_domain_records"), *urls]

    def records_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The page; `?zone` for the zone file, `?state` for whether a look is under way, `?tab=history`."""
        domain = self.find(request, object_id)
        if domain is None:
            raise Http404
        if request.method == "POST":
            return self._posted(request, domain)
        if "zone" in request.GET:
            headers = {"Content-Disposition": f'attachment; filename="{domain}.zone"'}
            return HttpResponse(zone_file(domain), content_type="text/plain; charset=utf-8", headers=headers)
        if "state" in request.GET:
            running = DnsCheck.objects.filter(domain=domain).exclude(started_at=None).exists()
            return JsonResponse({"running": running})
        tab = "history" if request.GET.get("tab") == "history" else "records"
        context = self.admin_site.each_context(request) | context_of(domain, tab)
        context |= {"title": f"DNS records of {domain}", "opts": self.opts, "may_act": self.allows(request, ACT)}
        return TemplateResponse(request, "admin/records.html", context)

    def _posted(self, request: HttpRequest, domain: Domain) -> HttpResponse:
        if not self.allows(request, ACT):
            raise PermissionDenied
        do = getattr(self, f"_do_{request.POST.get('do', '').replace('-', '_')}", None)
        if do is None:
            raise Http404
        if act := _ACTS.get(request.POST["do"]):
            proof.demand(request, f"{act} of {domain}.", request.path)
        what = request.POST["do"]
        self.act(request, lambda: do(request, domain), of=(domain, "DNS records") if what != "check" else None)
        return HttpResponseRedirect(reverse("admin:directory_domain_records", args=[domain.pk]))

    def _do_check(self, request: HttpRequest, domain: Domain) -> None:
        background.start_check(domain.pk)

    def _do_rotate(self, request: HttpRequest, domain: Domain) -> str:
        selector = start_rotation(domain.pk)
        return f"Publish the new DKIM key {selector}: it takes over as soon as your name servers have it."

    def _do_ed25519(self, request: HttpRequest, domain: Domain) -> str:
        key = domain.dkim_keys.filter(algorithm=DkimKey.Algorithm.ED25519, state__in=("pending", "published")).first()
        if key is None:
            raise ChangeRefused("There is no Ed25519 key that waits.")
        activate_key(key.pk)
        return f"Mail is signed by Ed25519 ({key.selector}) as well from now on."

    def _do_advance(self, request: HttpRequest, domain: Domain) -> str:
        stage = stages.advance_dmarc(domain.pk)
        return f"DMARC is at the stage {stage}: publish the record as it is shown now."

    def _do_retreat(self, request: HttpRequest, domain: Domain) -> str:
        stage = stages.retreat_dmarc(domain.pk)
        return f"DMARC is back at the stage {stage}: publish the record as it is shown now."

    def _do_mode(self, request: HttpRequest, domain: Domain) -> str:
        stages.choose(domain.pk, mode=request.POST.get("mode", ""))
        transaction.on_commit(lambda: background.start_check(domain.pk))
        return "The records below are those for it."

    def _do_rotation(self, request: HttpRequest, domain: Domain) -> str:
        months = request.POST.get("months", "")
        stages.choose(domain.pk, rotation_months=int(months) if months.isdecimal() and len(months) < 4 else None)
        return "The schedule of DKIM keys is changed."
