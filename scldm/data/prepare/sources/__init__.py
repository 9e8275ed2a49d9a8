"""What there is to prepare: VoxCeleb, AVSpeech, a folder of videos, or a manifest of files."""

from scldm.data.prepare.sources.avspeech import avspeech
from scldm.data.prepare.sources.table import table
from scldm.data.prepare.sources.videos import videos
from scldm.data.prepare.sources.voxceleb import voxceleb

__all__ = ["avspeech", "table", "videos", "voxceleb"]
