"""The program: starts the kernel, or tells Jupyter of it."""

import argparse
import json
import os
import shutil
import sys
import tempfile

DISPLAY_NAME = "Lua (latent)"


def specification(latent):
    """What Jupyter must know: with which words to start the kernel."""
    folder = os.path.dirname(os.path.abspath(__file__))
    return {
        # Without frozen modules, for a debugger that is loaded with ipykernel would warn of them.
        "argv": [
            *(sys.executable, "-Xfrozen_modules=off", folder),
            *("--latent", latent, "-f", "{connection_file}"),
        ],
        "display_name": DISPLAY_NAME,
        "language": "lua",
        "interrupt_mode": "signal",
    }


def install(options):
    from jupyter_client.kernelspec import KernelSpecManager

    prefix = sys.prefix if options.sys_prefix else options.prefix
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # its rights are those of what is installed
        with open(os.path.join(folder, "kernel.json"), "w", encoding="utf-8") as file:
            json.dump(specification(options.latent), file, indent=2)
            file.write("\n")
        try:
            where = KernelSpecManager().install_kernel_spec(
                folder, kernel_name=options.name, user=prefix is None, prefix=prefix
            )
        except (OSError, ValueError) as problem:
            return "install: %s" % problem
    print("installed in %s" % where)
    if os.path.dirname(where) not in KernelSpecManager().kernel_dirs:
        print("Jupyter does not look there by itself: export JUPYTER_PATH=%s" % os.path.dirname(os.path.dirname(where)))
    print('In Jupyter it is called "%s"; jupyter console --kernel %s' % (DISPLAY_NAME, options.name))
    return 0


def uninstall(options):
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    prefix = sys.prefix if options.sys_prefix else options.prefix
    if prefix is not None:
        where = os.path.join(prefix, "share", "jupyter", "kernels", options.name)
    else:
        try:
            where = KernelSpecManager().get_kernel_spec(options.name).resource_dir
        except NoSuchKernel:
            return "uninstall: Jupyter knows no kernel %s" % options.name
    try:
        shutil.rmtree(where)
    except OSError as problem:
        return "uninstall: %s" % problem
    print("removed %s" % where)
    return 0


def list_kernels(_):
    from jupyter_client.kernelspec import KernelSpecManager

    for name, where in sorted(KernelSpecManager().find_kernel_specs().items()):
        print("%-16s %s" % (name, where))
    return 0


def parser():
    top = argparse.ArgumentParser(prog="latent kernel", allow_abbrev=False)
    top.add_argument("--latent", default="latent", help=argparse.SUPPRESS)
    words = top.add_subparsers(dest="word", required=True)
    for word, run, text in (
        ("install", install, "tell Jupyter of the kernel"),
        ("uninstall", uninstall, "make Jupyter forget it"),
        ("list", list_kernels, "the kernels that Jupyter knows"),
    ):
        command = words.add_parser(word, help=text)
        command.set_defaults(run=run)
        if run is list_kernels:
            continue
        place = command.add_mutually_exclusive_group()
        place.add_argument("--user", action="store_true", help="for this user (the default)")
        place.add_argument("--prefix", metavar="FOLDER", help="in FOLDER/share/jupyter/kernels")
        place.add_argument("--sys-prefix", action="store_true", help="where this Python is")
        command.add_argument("--name", default="latent", help="default: latent")
    return top


def start(arguments):
    """Runs the kernel: `--latent PATH`, and what ipykernel takes."""
    from ipykernel.kernelapp import IPKernelApp

    from .kernel import LatentKernel

    arguments = list(arguments)
    if "--latent" in arguments[:-1]:
        at = arguments.index("--latent")
        LatentKernel.command = [arguments[at + 1]]
        del arguments[at : at + 2]
    IPKernelApp.launch_instance(argv=arguments, kernel_class=LatentKernel)
    return 0


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    if "-f" in arguments or any(word.startswith("-f=") for word in arguments):
        return start(arguments)
    options = parser().parse_args(arguments)
    result = options.run(options)
    if isinstance(result, str):
        print("latent kernel: %s" % result, file=sys.stderr)
        return 1
    return result
