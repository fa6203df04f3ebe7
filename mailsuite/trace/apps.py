from django.apps import AppConfig


class TraceConfig(AppConfig):
    name = "mailsuite.trace"
    label = "trace"
    verbose_name = "Traffic"

    def ready(self) -> None:
        from mailsuite.trace.operations import TellStory
        from mailsuite.trace.refusals import RefusalBuffer
        from mailsuite.writer.registry import register_buffer

        register_buffer(TellStory, RefusalBuffer)
