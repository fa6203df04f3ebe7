"""The admin's page of the live delivery test. For superusers: it makes this host connect to others."""

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from mailsuite.console.delivery_runs import RUNS, Run, TooMany
from mailsuite.directory.models import User
from mailsuite.mail.address import AddressError
from smtpd_service.probe.delivery import read_target
from smtpd_service.probe.live import default_sender, probe_live
from smtpd_service.probe.stage import Stage

# Less than a request may take, with time to answer.
POLL_SECONDS = 8.0
LONGEST_TARGET = 320
TONES = {"good": "good", "note": "plain", "warning": "waiting", "bad": "bad"}


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest) -> HttpResponse:
    """The form; a POST begins a test and leads to its page."""
    owner = _superuser(request)
    target = (request.POST.get("target") or request.GET.get("target") or "").strip()[:LONGEST_TARGET]
    if request.method != "POST":
        return _page(request, target=target)
    try:
        read_target(target)
        sender = default_sender(settings.MAILSUITE)
        run = RUNS.start(target, owner, lambda text: probe_live(text, settings.MAILSUITE, sender))
    except AddressError as error:
        return _page(request, target=target, problem=f"This is neither an address nor a domain: {error}.")
    except TooMany as error:
        return _page(request, target=target, problem=str(error))
    return HttpResponseRedirect(reverse("delivery-test-run", args=[run.id]))


@require_safe
def show(request: HttpRequest, run_id: str) -> HttpResponse:
    """A test with the stages so far; the page's script asks for more, and without scripts the page comes again."""
    run = _find(request, run_id)
    stages, is_done = run.since(0, 0.2)
    return _page(request, target=run.target, run=run, html=_html(stages), count=len(stages), is_done=is_done)


@require_safe
def more(request: HttpRequest, run_id: str) -> HttpResponse:
    """What has happened since the first `after` stages, as soon as anything has."""
    run = _find(request, run_id)
    text = request.GET.get("after", "0")
    after = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    stages, is_done = run.since(after, POLL_SECONDS)
    return JsonResponse({"html": _html(stages), "count": after + len(stages), "done": is_done})


def _superuser(request: HttpRequest) -> int:
    user = request.user
    if not (isinstance(user, User) and user.is_active and user.is_superuser):
        raise PermissionDenied
    return user.pk


def _find(request: HttpRequest, run_id: str) -> Run:
    run = RUNS.find(run_id, _superuser(request))
    if run is None:
        raise Http404
    return run


def _html(stages: list[Stage]) -> str:
    rows = [(stage, TONES[stage.tone.value]) for stage in stages]
    return render_to_string("admin/delivery_stages.html", {"rows": rows})


def _page(request: HttpRequest, **context: object) -> HttpResponse:
    context = admin.site.each_context(request) | {"title": "Delivery test", **context}
    return TemplateResponse(request, "admin/delivery_test.html", context)
