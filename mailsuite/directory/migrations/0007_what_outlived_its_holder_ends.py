from datetime import timedelta

from django.db import migrations
from django.db.models import Max

TOGETHER = timedelta(minutes=1)


def end_what_outlived(apps, schema_editor):
    """Removals from now on end these in their own transaction; here what earlier ones left."""
    Domain, Mailbox, User, SendAs = (apps.get_model("directory", n) for n in ("Domain", "Mailbox", "User", "SendAs"))
    removed = Mailbox.objects.filter(state="removed")
    for domain in Domain.objects.filter(state="removed").exclude(removed_at=None):
        domain.administrators.clear()
        with_it = removed.filter(domain=domain, removed_at__range=(domain.removed_at - TOGETHER, domain.removed_at))
        with_it.update(removed_at=domain.removed_at)
    live = Mailbox.objects.exclude(state="removed")
    for user in User.objects.filter(is_active=False, is_staff=False, mailboxes__state="removed").distinct():
        if not live.filter(user=user).exists():
            at = removed.filter(user=user).aggregate(at=Max("removed_at"))["at"]
            # It was switched off by the removal: restored with its mailbox it is on again.
            User.objects.filter(pk=user.pk).update(removed_at=at, is_active=True, address_key=f"removed:{user.pk}")
            SendAs.objects.filter(user=user).delete()
            user.administered_domains.clear()
    gone = removed.exclude(address__in=live.values("address")).values("address")
    SendAs.objects.filter(address__in=gone).delete()


def bring_keys_back(apps, schema_editor):
    """Names were unique before: what was removed keeps its own where nobody else has it by now."""
    User, Domain = (apps.get_model("directory", name) for name in ("User", "Domain"))
    for user in User.objects.exclude(removed_at=None):
        key = user.email.lower()
        is_free = not User.objects.filter(address_key=key).exists()
        names = {"address_key": key} if is_free else {"email": user.address_key}
        User.objects.filter(pk=user.pk).update(is_active=False, **names)
    for domain in Domain.objects.filter(state="removed"):
        if Domain.objects.filter(name=domain.name).exclude(pk=domain.pk).exists():
            Domain.objects.filter(pk=domain.pk).update(name=f"removed-{domain.pk}.invalid")


class Migration(migrations.Migration):
    dependencies = [("directory", "0006_removed_can_be_restored")]
    operations = [migrations.RunPython(end_what_outlived, bring_keys_back)]
