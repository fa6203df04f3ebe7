from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class StoreConfig(AppConfig):
    name = "mailsuite.store"
    label = "store"
    verbose_name = "Mail store"

    def ready(self) -> None:
        from mailsuite.store import chores, copies, expunging, filing, folders, maildrop, messages, sweep, withdrawal
        from mailsuite.store import operations as ops
        from mailsuite.store.locked import Locked
        from mailsuite.writer.registry import register, register_chores, register_locks, register_start

        register_locks(10, Locked)
        register(ops.Deliver, filing.deliver, undo=withdrawal.undo_delivery, is_done=filing.is_delivered)
        register(ops.Append, filing.append, undo=withdrawal.undo_append)
        register(ops.StoreFlags, messages.store_flags)
        register(ops.Expunge, expunging.expunge)
        register(ops.Copy, messages.copy, undo=withdrawal.undo_copy)
        register(ops.BeginCopy, copies.begin)
        register(ops.EndCopy, copies.end, undo=withdrawal.undo_end_of_copy)
        register(ops.UndoCopy, copies.undo)
        register(ops.CreateFolder, folders.create_folder)
        register(ops.DeleteFolder, folders.delete_folder)
        register(ops.PurgeFolder, folders.purge_folder)
        register(ops.RenameFolder, folders.rename_folder)
        register(ops.Subscribe, folders.subscribe)
        register(ops.ClaimRecent, messages.claim_recent)
        register(ops.LeaseMaildrop, maildrop.lease, undo=withdrawal.undo_lease)
        register(ops.ReleaseMaildrop, maildrop.release)
        register(ops.QuitMaildrop, maildrop.quit_maildrop)
        register(ops.MarkFetched, messages.mark_fetched)
        register(ops.WithdrawDelivery, withdrawal.withdraw_delivery)
        register(ops.WithdrawMessages, withdrawal.withdraw_messages)
        register(ops.ReopenCopy, withdrawal.reopen_copy)
        register_chores(chores.next_chore)
        register_start(sweep.sweep_spool)
        register_start(copies.expire_if_alone)
        jobs.register("mailsuite.store.jobs")
