"""What bash, zsh and fish need to complete commands, options and the names of VMs."""

import click
from click.shell_completion import get_completion_class

WHERE = {
    "bash": "/etc/bash_completion.d/holdfast",
    "zsh": "a folder of $fpath, as _holdfast",
    "fish": "~/.config/fish/completions/holdfast.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion of a SHELL; save it where that shell looks.

    bash: holdfast completion bash > /etc/bash_completion.d/holdfast
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "holdfast", "_HOLDFAST_COMPLETE").source())
