"""What a machine is to the world, whichever cloud rents it out; each cloud adds what only it knows of one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cloud.boxes import Box, Gpu
from tests.cloud.imds import Imds
from tests.cloud.meter import Metered

if TYPE_CHECKING:
    from tests.cloud.sshd import Sshd


@dataclass(kw_only=True)
class Machine:
    """One instance. Changed only under the world's lock."""

    cloud: str
    id: str
    region: str
    zone: str
    instance_type: str
    address: str
    port: int
    created: float
    metered: Metered
    gpu: Gpu | None = None
    spot: bool = False
    state: str = "pending"
    reason: tuple[str, str] = ("", "")
    terminated: float | None = None
    off_at: float | None = None
    """When its own shutdown takes effect."""
    box: Box | None = None
    sshd: "Sshd | None" = None
    imds: Imds | None = None
    user_data: bytes = b""
    account_keys: tuple[str, ...] = ()
    """Public keys that the cloud itself lets in, beside those of user-data."""
    ssh_at: float | None = None
    """By hand: the sim second from which SSH answers."""

    @property
    def alive(self) -> bool:
        """Whether it still holds capacity and quota: nobody has ended it."""
        return self.metered.ended is None
