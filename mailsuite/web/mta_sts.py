"""The MTA-STS policies of our domains (RFC 8461 §3.3): served under the name `mta-sts.DOMAIN` and no other."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from mailsuite.directory.models import Domain
from mailsuite.mailauth.mtasts import policy_host, render_policy
from mailsuite.transport_security.publishing import own_policy
from mailsuite.web import hosts


@require_safe
def policy(request: HttpRequest) -> HttpResponse:
    """The policy of the domain that the Host belongs to; 404 under any other name of ours."""
    host = request.get_host()
    name = hosts.hosted_domain_of(host)
    if not name or hosts.name_of(host) != policy_host(name):
        raise Http404
    domain = Domain.objects.using("reader").filter(name=name, state=Domain.State.ACTIVE).first()
    if domain is None:
        raise Http404
    return HttpResponse(render_policy(own_policy(domain)), content_type="text/plain; charset=utf-8")
