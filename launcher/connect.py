"""Which way of speaking belongs to which kind of machine."""

from collections.abc import Mapping

from launcher.folder import FolderRemote
from launcher.remote import Keys, Remote
from launcher.ssh import SshRemote
from providers.base import Access, Folder


def connect(access: Access, keys: Keys, environ: Mapping[str, str]) -> Remote:
    """A `Remote` for that machine; nothing is sent before its first verb."""
    if isinstance(access, Folder):
        return FolderRemote(access, environ)
    return SshRemote(access, keys, environ)
