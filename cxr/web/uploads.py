"""The bytes of an upload, which Streamlit would keep until the session ends."""

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile


def take_bytes(file: UploadedFile) -> bytes:
    """The content of a file, which is then gone from the server's memory.

    As Streamlit's own chat input does it.
    """
    data = file.getvalue()
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
    file.close()
    return data
