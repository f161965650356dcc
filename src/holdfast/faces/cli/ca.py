"""The site's certificates, and the tokens with which hosts join."""

import re
import time
from contextlib import suppress
from typing import Any

import click

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.faces.cli.asking import Said, ask
from holdfast.faces.cli.choosing import Choices
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, say, show, show_json
from holdfast.faces.cli.site_words import lacking
from holdfast.ports.answers import MAKE_SITE, NO_SITE

PATIENCE_S, AGAIN_S = 10.0, 0.3
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def ask_again(site: Site, name: str, /, **args: Any) -> Said:
    """A controller starts anew by itself when controllers came or went: wait that long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask(site, name, **args)
        except Failure as failure:
            is_ours = _is_of_a_site(site)
            if failure.code == Exit.AWAY and not (is_ours or site.is_elsewhere):
                raise Failure(NO_SITE, MAKE_SITE, Exit.USAGE) from None
            if failure.code != Exit.AWAY or not is_ours or time.monotonic() > deadline:
                raise
            time.sleep(AGAIN_S)


def _is_of_a_site(site: Site) -> bool:
    try:
        return Certificates.is_here(site.settings.tls_dir)
    except PermissionError:
        return True  # Only root may look; the failure says that.


def read_span(text: str) -> int:
    """1h, 30m, 7d as seconds. Raises Failure."""
    found = re.fullmatch(r"(\d{1,7})([smhd])", text.strip())
    if found is None or not int(found[1]):
        raise Failure(f"{text!r} is no time; use 30m, 1h, 7d", code=Exit.USAGE)
    return int(found[1]) * UNITS_S[found[2]]


@click.group(cls=Choices)
def ca() -> None:
    """Show the site's CA; make and list tokens and certificates; revoke and renew them."""


@ca.command(name="show")
@json_option
@pass_site
def show_ca(site: Site, as_json: bool) -> None:
    """Show the fingerprint of the site's CA, and its certificate."""
    data = ask_again(site, "ca").data
    if as_json:
        show_json(data)
        return
    click.echo(f"fingerprint (SHA-256): {data['fingerprint']}")
    click.echo(data["certificate"].strip())


@ca.group(cls=Choices)
def token() -> None:
    """Tokens with which hosts join: each serves once, and expires."""


@token.command()
@click.option("--controller", "is_controller", is_flag=True, help="For one more controller.")
@click.option("--for", "span", default="1h", show_default=True, help="How long it holds: 30m, 7d.")
@json_option
@pass_site
def new(site: Site, is_controller: bool, span: str, as_json: bool) -> None:
    """Make a token, and print the command that uses it."""
    made = ask_again(site, "join-new", controller=is_controller, for_s=read_span(span)).data
    if as_json:
        show_json(made)
        return
    plan = ask_again(site, "site").data
    own = next((c["address"] for c in plan["controllers"]), "CONTROLLER")
    extra = " --controller" if is_controller else ""
    click.echo(f"holdfast: this serves once, within {span}; type it on the host that joins:")
    click.echo(f"holdfast join {own}{extra} --token {made['token']}")


@token.command(name="list")
@json_option
@pass_site
def list_tokens(site: Site, as_json: bool) -> None:
    """List tokens, also those that were used or have expired. Secrets are not kept."""
    rows = ask_again(site, "joins").data
    if as_json:
        show_json({"tokens": rows})
        return
    # Late: only now is there something to lay out.
    from holdfast.faces.pages.membership import tokens_table

    show(tokens_table(rows))


@token.command(name="revoke")
@click.argument("name", metavar="ID")
@pass_site
def revoke_token(site: Site, name: str) -> None:
    """Make a token useless."""
    done = ask_again(site, "join-revoke", id=name).data
    click.echo(f"holdfast: token {done['revoked']} is revoked")


@ca.group(cls=Choices)
def certificate() -> None:
    """Certificates of the site's hosts."""


@certificate.command(name="list")
@json_option
@pass_site
def list_certificates(site: Site, as_json: bool) -> None:
    """List the site's certificates, and when they end."""
    rows = ask_again(site, "certificates").data
    if as_json:
        show_json({"certificates": rows})
        return
    # Late: likewise.
    from holdfast.faces.pages.membership import certificates_table

    show(certificates_table(rows))


@certificate.command(name="revoke")
@click.argument("name", metavar="HOST|SERIAL")
@click.option("--reason", required=True, help="Why; it is kept with the certificate.")
@click.option(
    "--even-with-vms",
    is_flag=True,
    help="Also a host that holds protected VMs and is not proven dead: nobody starts them again.",
)
@pass_site
def revoke_certificate(site: Site, name: str, reason: str, even_with_vms: bool) -> None:
    """Revoke one certificate, or put a HOST out of the site with all that it has."""
    more: dict[str, Any] = {"even_with_vms": True} if even_with_vms else {}
    done: dict[str, Any] = ask_again(
        site, "certificate-revoke", name=name, reason=reason, **more
    ).data
    serials, hosts = ", ".join(done["revoked"]), ", ".join(done.get("hosts", ()))
    what = f"{hosts} (certificate {serials})" if hosts else serials
    click.echo(f"holdfast: revoked: {what}; links that it had are closed")
    with suppress(Failure):  # It is revoked; what the site is now, `status` tells as well.
        for lack in lacking(ask_again(site, "site").data):
            say(lack)


@ca.command()
@pass_site
def renew(site: Site) -> None:
    """Renew this host's certificate now. Agents do it by themselves, a third before it ends."""
    # Late: only this command needs certificates.
    from holdfast.adapters.drivers.renewal import RenewalFailed, renew_certificate

    try:
        ends = renew_certificate(site.settings)
    except RenewalFailed as failed:
        raise Failure(str(failed), failed.hint) from None
    click.echo(f"holdfast: renewed; it holds until {ends}")
