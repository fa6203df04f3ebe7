"""What came of each job the last time."""

from django.db import models


class JobRun(models.Model):
    """The last run of the job of this name, on whichever host of the site it was."""

    name = models.CharField("job", max_length=60, primary_key=True)
    started_at = models.DateTimeField("last run")
    seconds = models.FloatField("took")
    # What it counted; None where it failed.
    done = models.BigIntegerField(null=True)
    # How often it has failed since it last worked, and why the last time.
    failures = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = "job"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
