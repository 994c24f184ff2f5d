"""Fixed membership: the nodes that the cluster began with, all thought alive; a dead one is noticed when an
operation times out."""

from __future__ import annotations

from kvsim.core.axes import Membership


class Fixed(Membership):
    """Everybody is a member and nobody is suspected; costs no message."""

    notices_crashes = False
