"""Real sockets, a real event loop, a store that only remembers."""


def test_message_is_filed_before_it_is_acknowledged(server):
    talk = server.connect()
    reply = talk.mail(b"Subject: hi\r\n\r\n..dot\r\n", "ann@example.org")
    assert reply.startswith("250 2.0.0 queued as 0")
    [(operation, octets)] = server.store.delivered
    assert octets == b"Subject: hi\r\n\r\n.dot\r\n"
    [local] = operation.local
    assert (local.mailbox_id, local.address) == (1, "ann@example.org")
    assert local.prefix.startswith(
        b"Return-Path: <x@other.example>\r\nDelivered-To: ann@example.org\r\n"
        b"Received: from client.example ([127.0.0.1])\r\n\tby mx.example.org with ESMTP id "
    )
    assert talk.ask("QUIT").startswith("221 2.0.0 ")
    assert talk.closed()


def test_starttls(server):
    talk = server.connect()
    talk.start_tls()
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("503 5.5.1 ")
    assert talk.ask("EHLO again.example") == "250 HELP"
    assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert b"with ESMTPS id" in operation.local[0].prefix
    assert b"(using TLSv1.3 with cipher TLS_" in operation.local[0].prefix


def test_submission_by_implicit_tls(server):
    talk = server.log_in()
    content = b"From: ann@example.org\r\nSubject: hi\r\n\r\nhi\r\n"
    assert talk.mail(content, "bob@example.org", "x@other.example", sender="ann@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert [local.address for local in operation.local] == ["bob@example.org"]
    [outgoing] = operation.outgoing
    [stranger] = outgoing.recipients
    assert (stranger.forward_path, stranger.destination) == ("x@other.example", "other.example")
