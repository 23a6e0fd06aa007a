"""The address that follows a healthy gateway: the real keepalived on two hosts that are namespaces."""


def address_moves(swarm):
    """The address moves when a gateway drains, dies, or its host is cut off."""
