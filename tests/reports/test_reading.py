"""Report mail of every shape, as reporters send it and as attackers do: what is counted, once, and what is said."""

import base64
import gzip
import io
import zipfile
from datetime import date, datetime, timedelta, timezone
from dataclasses import replace

import pytest
from conftest import NOW, authentication_of  # noqa: F401
from django.db import OperationalError

from mailsuite.mailauth.dmarc_report import DkimResult, PolicyPublished, Reason, Record, ReportHead, SpfResult, build_report
from mailsuite.reports import dmarc_import, reading
from mailsuite.reports.models import DmarcDay, DmarcRecord, DmarcReport, FailureReport, IncomingReport
from mailsuite.reports.reading import read_one, read_waiting
