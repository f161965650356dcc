"""Whether the site could lose hosts: each loss tried on paper."""

import click

from holdfast.faces.api.guarantee_shapes import GuaranteeShown
from holdfast.faces.cli.asking import ask, convert
from holdfast.faces.cli.exits import Exit
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show, show_json


@click.command()
@click.option(
    "--hosts",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="So many are lost at once.",
)
@json_option
@pass_site
def guarantee(site: Site, hosts: int, as_json: bool) -> int:
    """Say of each host, if it died now, which of its VMs would start nowhere else, and why.

    Nothing is touched: it is tried on paper. Exit code 1 says that fewer hosts may be lost than
    should be (host_losses in the settings), or that Holdfast could not act now on a host on which
    it is to act.
    """
    data = ask(site, "guarantee", hosts=hosts).data
    # Late: only now there is something to tell.
    from holdfast.faces.pages.guarantee import guarantee_page

    told = convert(data, GuaranteeShown)
    if as_json:
        show_json(data)
    else:
        show(guarantee_page(told))
    return Exit.FINE if told.is_kept and not told.hindered else Exit.BAD_NEWS
