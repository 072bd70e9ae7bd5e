"""Building data sets by hand: what tests use to serve something other than the demo's data.

A builder is for one thread; the data set that ``build`` returns is for any number. Nothing is checked on
purpose: a test may want equal labels, odd names or an experiment whose subject is in no project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Optional

from cdbfs.demo.dataset import (
    MR_SESSION,
    Account,
    Body,
    Content,
    DataSet,
    DataType,
    Experiment,
    File,
    Project,
    Resource,
    Scan,
    Subject,
)
from cdbfs.demo.packages.offers import SIZE, Announced, Given, Held, Offer, Packages

Scores = Mapping[str, Mapping[str, Optional[str]]]


class DataSetBuilder:
    """Collects items in the order they are to be listed; IDs are numbered unless given."""

    def __init__(self, *, site_id: str = "ConnectomeDB", site_url: str = "http://db.example.invalid") -> None:
        self.site_id = site_id
        self.site_url = site_url
        self.projects: list[Project] = []
        self.subjects: list[Subject] = []
        self.experiments: list[Experiment] = []
        self.types: list[DataType] = [MR_SESSION]
        self.accounts: list[Account] = []
        self.missing_columns: set[str] = set()
        self.offers: dict[str, Offer] = {}
        self.packages: list[Given] = []
        self.package_size: int = SIZE
        self.package_sizes: Announced = "members"
        self.package_project = "HCP_Q2"
        self._resource_keys = count(1)

    def project(
        self,
        id: str,  # noqa: A002 - XNAT's name
        name: str = "",
        *,
        resources: Sequence[Resource] = (),
        **fields: str,
    ) -> Project:
        """Add a project; further fields are those of ``Project``."""
        secondary = fields.pop("secondary_id", id)
        made = Project(id=id, name=name or id, secondary_id=secondary, resources=tuple(resources), **fields)
        self.projects.append(made)
        return made

    def type(
        self,
        name: str,
        element: str,
        namespace: str,
        *,
        schema: str = "",
        image: bool = False,
        fields: Mapping[str, str] | None = None,
    ) -> DataType:
        """Register a data type: ``type("cog:battery", "cog:Battery", "http://example.org/cog")``."""
        made = DataType(name, element, namespace, schema, image, tuple((fields or {}).items()))
        self.types.append(made)
        return made

    def subject(
        self,
        label: str,
        project: str,
        *,
        id: str = "",  # noqa: A002 - XNAT's name
        shares: Mapping[str, str] | None = None,
        group: str = "",
        insert_date: str = "2012-11-03 14:22:10.123",
        last_modified: str = "",
        resources: Sequence[Resource] = (),
        **details: str,
    ) -> Subject:
        """Add a subject; ``shares`` maps projects to labels, details are columns such as gender."""
        made = Subject(
            id=id or f"{self.site_id}_S{len(self.subjects) + 1:05d}",
            label=label,
            project=project,
            shares=tuple((shares or {}).items()),
            group=group,
            insert_date=insert_date,
            last_modified=last_modified,
            details=tuple(details.items()),
            resources=tuple(resources),
        )
        self.subjects.append(made)
        return made

    def experiment(
        self,
        label: str,
        subject: Subject | str,
        type: str,  # noqa: A002 - XNAT's name
        *,
        project: str = "",
        id: str = "",  # noqa: A002 - XNAT's name
        shares: Mapping[str, str] | None = None,
        groups: Scores | None = None,
        scans: Sequence[Scan] = (),
        resources: Sequence[Resource] = (),
        scanner: str = "",
        document: bytes | None = None,
        date: str = "",
        insert_date: str = "2012-11-03 14:22:10.123",
        last_modified: str = "",
    ) -> Experiment:
        """Add an experiment of a subject (or of a bare subject ID, which then needs ``project``).

        ``groups`` maps group elements ("" for none) to scores; a None score is left out of the document.
        ``document`` gives the exact bytes to answer instead.
        """
        content = Content(
            groups=tuple((group, tuple(scores.items())) for group, scores in (groups or {}).items()),
            scanner=scanner,
            scans=tuple(scans),
            resources=tuple(resources),
        )
        made = Experiment(
            id=id or f"{self.site_id}_E{len(self.experiments) + 1:05d}",
            label=label,
            project=project or (subject.project if isinstance(subject, Subject) else ""),
            subject_id=subject.id if isinstance(subject, Subject) else subject,
            type=type,
            shares=tuple((shares or {}).items()),
            date=date,
            insert_date=insert_date,
            last_modified=last_modified,
            content=content,
            document=document,
        )
        self.experiments.append(made)
        return made

    def file(
        self,
        path: str,
        body: Body,
        *,
        size: int | None = None,
        format: str = "",  # noqa: A002 - XNAT's name
        content: str = "",
        tags: Sequence[str] = (),
        digest: str | None = None,
        created: str = "2012-11-03 14:22:10.123",
    ) -> File:
        """A file for ``resource``; a body that is made when asked for should give its ``size`` in bytes."""
        if size is None:
            size = len(body if isinstance(body, bytes) else body())
        return File(path, size, body, format, content, tuple(tags), digest, created)

    def resource(
        self,
        label: str,
        *files: File,
        key: int = 0,
        format: str = "",  # noqa: A002 - XNAT's name
        content: str = "",
        tags: str = "",
    ) -> Resource:
        """A resource for a project, a subject, an experiment or a scan; keys are numbered unless given."""
        return Resource(key or next(self._resource_keys), label, files, format, content, tags)

    def offer(
        self,
        id: str,  # noqa: A002 - the service's name
        label: str = "",
        description: str = "",
        keywords: Sequence[str] = (),
    ) -> Offer:
        """Offer a package, also one that no subject has; those of ``package`` are offered without a word."""
        self.offers[id] = Offer(id, label, description, tuple(keywords))
        return self.offers[id]

    def package(
        self,
        subject: Subject | str,
        id: str,  # noqa: A002 - the service's name
        content: Held | None = None,
        *,
        announced: int | None = None,
        count: int | None = None,
        md5: str | None = None,
        folder: str | None = None,
    ) -> Given:
        """Give a subject (or its ID) a package: the zip's bytes, what makes them, a file, or None: made up.

        ``announced`` is the size that the service tells, ``md5`` the digest told ("" for an empty file), where
        they are not to follow from the zip; ``folder`` is where on the server it lies. How large made-up ones are,
        and what is told of all sizes, stand in ``package_size`` and ``package_sizes``.
        """
        self.offers.setdefault(id, Offer(id, id.replace("_", " "), f"Package {id}"))
        subject_id = subject.id if isinstance(subject, Subject) else subject
        self.packages.append(Given(subject_id, id, content, announced, count, md5, folder))
        return self.packages[-1]

    def account(
        self,
        user: str,
        password: str,
        reads: Sequence[str] | None = None,
        writes: Sequence[str] | None = (),
    ) -> Account:
        """Add a login that reads and changes these projects; None stands for all."""
        may_write = None if writes is None else frozenset(writes)
        made = Account(user, password, None if reads is None else frozenset(reads), may_write)
        self.accounts.append(made)
        return made

    def build(self) -> DataSet:
        return DataSet(
            projects=tuple(self.projects),
            subjects=tuple(self.subjects),
            experiments=tuple(self.experiments),
            types=tuple(self.types),
            accounts=tuple(self.accounts),
            site_id=self.site_id,
            site_url=self.site_url,
            missing_columns=frozenset(self.missing_columns),
            packages=self._packages(),
        )

    def _packages(self) -> Packages | None:
        if not self.offers:
            return None
        return Packages(
            tuple(self.offers.values()),
            given=tuple(self.packages),
            project=self.package_project,
            size=self.package_size,
            announced=self.package_sizes,
        )
