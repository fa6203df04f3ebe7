"""Domains that strangers share: what one of their users did says nothing of the next."""

FREE_MAIL = (
    "gmail.com googlemail.com outlook.com hotmail.com hotmail.co.uk hotmail.fr live.com msn.com yahoo.com yahoo.co.uk"
    " yahoo.co.jp yahoo.de yahoo.fr ymail.com aol.com icloud.com me.com mac.com gmx.de gmx.net gmx.com gmx.at web.de"
    " t-online.de freenet.de mail.com mail.ru yandex.ru yandex.com proton.me protonmail.com pm.me tutanota.com tuta.com"
    " zoho.com fastmail.com hey.com qq.com 163.com 126.com sina.com naver.com daum.net orange.fr wanadoo.fr free.fr"
    " laposte.net libero.it virgilio.it seznam.cz wp.pl o2.pl onet.pl interia.pl comcast.net verizon.net att.net"
    " btinternet.com sky.com rediffmail.com uol.com.br terra.com.br bigpond.com posteo.de mailbox.org"
)
SENDERS_FOR_HIRE = (
    "amazonses.com sendgrid.net mailgun.org mailgun.net mcsv.net mcdlv.net rsgsv.net mandrillapp.com sparkpostmail.com"
    " postmarkapp.com mtasv.net mailjet.com sendinblue.com brevo.com constantcontact.com hubspotemail.net"
    " exacttarget.com salesforce.com mailchimpapp.net onmicrosoft.com gappssmtp.com googlegroups.com groups.io"
    " list-manage.com klaviyomail.com zendesk.com freshdesk.com shopifyemail.com substack.com firebaseapp.com"
)
_SHARED = frozenset((FREE_MAIL + " " + SENDERS_FOR_HIRE).split())


def is_shared(domain: str) -> bool:
    """Whether the domain, or one that it lies below, is shared by strangers."""
    labels = domain.split(".")
    return any(".".join(labels[at:]) in _SHARED for at in range(max(len(labels) - 4, 0), len(labels) - 1))
