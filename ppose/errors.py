"""Errors that a user can cause; the command line prints them as one line, without a traceback."""


class PposeError(Exception):
    """Base of the errors below. The text names the thing, what was expected and the way out."""


class ConfigError(PposeError, ValueError):
    """A config, an override or a component's arguments are wrong."""


class CheckpointError(PposeError, ValueError):
    """A weights file cannot be read, or does not fit the network."""


class DataError(PposeError, ValueError):
    """An image, an annotation file or a box file is missing, corrupt or of the wrong form."""


class DownloadError(PposeError, OSError):
    """A URL cannot be fetched, or its content is not what was expected."""


class DeviceError(PposeError, RuntimeError):
    """The requested device is not available."""


class ExportError(PposeError, RuntimeError):
    """A network cannot be exported, or the export does not compute what the network does."""
