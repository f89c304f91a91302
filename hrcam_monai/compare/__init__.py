"""HR-CAM beside its peers: same networks, same subjects, same measures."""

from hrcam_monai.compare.maps import Candidate, PeerMaps
from hrcam_monai.compare.peers import PEERS, Peer, UnsuitedError, peer
from hrcam_monai.compare.study import Comparison

__all__ = ["PEERS", "Candidate", "Comparison", "Peer", "PeerMaps", "UnsuitedError", "peer"]
