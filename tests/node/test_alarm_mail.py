"""Alerts by e-mail, with a real SMTP server: protected, known again, and never lost while nobody is there."""

import pytest
from tests.support.alarms import DRIVER, ORIGIN, SUMMARY, SYSTEM, TITLE, bell, incident
from tests.support.post_office import PASSWORD, USER, certificate, post_office

from tocsin_node.errors import SettingsError
from tocsin_node.links.mail import letter
from tocsin_node.settings.channels import MailSettings
from tocsin_node.settings.loading import parse
from tocsin_schema.marking import Tlp


def password_in(directory, text=PASSWORD):
    file = directory / "mail-password"
    file.touch(mode=0o600)
    file.write_text(text)
    return str(file)


async def test_an_alert_is_one_mail_to_all(pool, tmp_path):
    async with post_office() as office, bell(pool, tmp_path, None, mail=office.settings()) as ringing:
        report = incident("I")
        alert_id = await ringing.store(report)
        await ringing.all_taken(1, "mail")
        [mail] = office.mails
        assert mail["Subject"] == f"[Tocsin {alert_id}] 🔴 ALERT, grade I · critical, 5 of 5 · TLP:GREEN"
        assert (mail["From"], mail["To"]) == ("tocsin@example.org", "duty@example.org, second@example.org")
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Message-ID"].startswith("<tocsin-")
        text = mail.get_content()
        assert TITLE in text
        assert SUMMARY in text
        assert f"Acknowledge: tocsin alert ack {alert_id}" in text
        assert f"Read it all: tocsin report show {report.id}" in text
        assert office.envelopes == [["duty@example.org", "second@example.org"]]
        [delivery] = (await ringing.alarms.get(alert_id))["deliveries"]
        assert (delivery["channel"], delivery["state"]) == ("mail", "accepted")
        assert "@" not in delivery["room"]
        assert [(c.name, c.status) for c in await ringing.alarms.health()] == [
            ("mail", "ok"),
            ("alerts", "ok"),
            ("answers", "ok"),
        ]


async def test_above_its_ceiling_a_mail_tells_id_and_grade(pool, tmp_path):
    async with post_office() as office, bell(pool, tmp_path, None, mail=office.settings()) as ringing:
        report = incident("I", tlp=Tlp.AMBER)
        await ringing.store(report)
        await ringing.all_taken(1, "mail")
    everything = office.mails[0].as_string() + office.mails[0].get_content() + office.mails[0]["Subject"]
    assert report.id in everything
    assert not [s for s in (TITLE, SUMMARY, DRIVER, SYSTEM, ORIGIN) if s in everything]


def test_no_line_gets_into_a_header():
    settings = MailSettings(server="localhost", sender="a@example.org", recipients=("b@example.org",))
    content = {
        "subject": "One\r\nBcc: c@example.org",
        "text": ".\r\nQUIT\r\n",
        "raised_at": "2026-11-20T10:00:00Z",
    }
    mail = letter(settings, content, "tocsin-1")
    assert mail == letter(settings, content, "tocsin-1")
    head, _, _ = mail.partition(b"\r\n\r\n")
    assert b"\r\nBcc" not in head
    assert b"Message-ID: <tocsin-1@example.org>" in head


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sender", "a@example.org\nBcc: b@example.org"),
        ("sender", "a@example.org\n"),
        ("sender", "no address"),
        ("recipients", ["a@example.org, b@example.org"]),
        ("recipients", ["a@example.org\r\nRCPT TO:<c@example.org>"]),
        ("recipients", []),
        ("security", "none"),
    ],
)
def test_settings_that_could_say_more_are_refused(tmp_path, name, value):
    section = {"server": "smtp.example.org", "sender": "a@example.org", "recipients": ["b@example.org"]}
    table = {"node": {"org": "A"}, "mail": {**section, name: value}}
    with pytest.raises(SettingsError, match=f"mail.{name}"):
        parse(table, tmp_path, {})
    parse({**table, "mail": section}, tmp_path, {})


async def test_nothing_is_lost_or_doubled_while_the_mail_server_is_dead_and_the_node_restarts(pool, tmp_path):
    async with post_office(start=False) as office:
        async with bell(pool, tmp_path, None, mail=office.settings()) as ringing:
            for _ in range(3):
                await ringing.store(incident())
            await ringing.check("mail", "mail-server-unreachable")
        async with bell(pool, tmp_path, None, mail=office.settings()) as ringing:
            await ringing.store(incident())
            await ringing.check("mail", "mail-server-unreachable")
            await office.start()
            await ringing.all_taken(4, "mail")
            await ringing.check("mail", None)
            await office.stop()
            await ringing.store(incident())
            await ringing.check("mail", "mail-server-unreachable")
            await office.start()
            await ringing.all_taken(5, "mail")
    assert len({mail["Message-ID"] for mail in office.mails}) == len(office.mails) == 5


async def test_a_server_that_hangs_or_asks_for_patience_gets_the_same_mail_again(pool, tmp_path):
    async with post_office(data=["451 later", "421 too much"], hang=1) as office:
        async with bell(pool, tmp_path, None, mail=office.settings()) as ringing:
            await ringing.store(incident())
            await ringing.all_taken(1, "mail")
            await ringing.check("mail", None)
        assert office.hung == 1
        assert len(office.mails) == 1


async def test_a_refusal_stops_the_channel_until_it_is_mended(pool, tmp_path):
    async with (
        post_office(always="554 not from you") as office,
        bell(pool, tmp_path, None, mail=office.settings()) as ringing,
    ):
        await ringing.store(incident())
        down = await ringing.check("mail", "mail-refused")
        assert (down.status, "mail.sender" in down.hint) == ("down", True)
        assert await ringing.states() == ["pending"]
        office.always = None
        await ringing.all_taken(1, "mail")
        await ringing.check("mail", None)


async def test_a_mail_that_is_too_long_is_sent_in_short(pool, tmp_path):
    async with (
        post_office(data=["552 too long"]) as office,
        bell(pool, tmp_path, None, mail=office.settings()) as ringing,
    ):
        await ringing.store(incident())
        await ringing.all_taken(1, "mail")
        assert await ringing.states() == ["failed", "accepted"]
    assert TITLE not in office.mails[0].get_content()


async def test_recipients_that_are_refused_are_told_of(pool, tmp_path):
    async with post_office() as office, bell(pool, tmp_path, None, mail=office.settings()) as ringing:
        office.refused = {"second@example.org": "550 nobody"}
        await ringing.store(incident())
        await ringing.all_taken(1, "mail")
        assert office.envelopes == [["duty@example.org"]]
        assert (await ringing.check("mail", "mail-some-refused")).status == "degraded"
        office.refused["duty@example.org"] = "550 nobody"
        await ringing.store(incident())
        await ringing.check("mail", "mail-recipients-refused")
        office.refused = {}
        await ringing.all_taken(2, "mail")


async def test_nothing_is_sent_unprotected(pool, tmp_path):
    async with (
        post_office() as office,
        bell(pool, tmp_path, None, mail=office.settings(security="starttls")) as ringing,
    ):
        await ringing.store(incident())
        assert (await ringing.check("mail", "mail-not-protected")).status == "down"
        assert office.mails == []


async def test_starttls_and_a_login(pool, tmp_path):
    cert, context = certificate(tmp_path)
    async with post_office(tls=context, login=True) as office:
        section = office.settings(security="starttls", user=USER, password_file=password_in(tmp_path))
        async with bell(pool, tmp_path, None, mail=section) as ringing:
            assert (await ringing.check("mail", "mail-tls-failed")).status == "down"
        wrong = {**section, "ca_file": str(cert), "password_file": password_in(tmp_path, "another")}
        async with bell(pool, tmp_path, None, mail=wrong) as ringing:
            await ringing.store(incident())
            down = await ringing.check("mail", "mail-login-refused")
            assert "another" not in down.hint
            assert office.mails == []
            password_in(tmp_path)
            ringing.alarms._lines["mail"].channel.look()
            await ringing.all_taken(1, "mail")
            await ringing.check("mail", None)
