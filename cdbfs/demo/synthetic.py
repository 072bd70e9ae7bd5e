"""The demo's data: a ConnectomeDB of synthetic subjects that gives the tutorial's answers.

Every score, date and demographic value is synthetic and moves with the seed; only the labels and the
values that the tutorial prints are planted (``tutorial``). Contents are made from (seed, ID) when they are
asked for. Used by the demo command and by tests. Pure functions, any thread.
"""

from __future__ import annotations

import datetime
import functools
import zlib
from collections.abc import Iterator
from random import Random
from typing import Callable

from cdbfs.demo import tutorial
from cdbfs.demo.dataset import (
    MR_SESSION,
    Account,
    Content,
    DataSet,
    DataType,
    Experiment,
    File,
    Group,
    Project,
    Resource,
    Scan,
    Score,
    Subject,
)
from cdbfs.demo.packages import hcp
from cdbfs.demo.packages.offers import SIZE, Packages
from cdbfs.demo.scores import FIELDS, non_toolbox

OWNER = "HCP_Subjects"
_FIRST_SUBJECT = 230
_FIRST_EXPERIMENT = 296
_HCP = "http://nrg.wustl.edu/hcp"

NT_SCORES = DataType(
    "nt:scores",
    "nt:NTScores",
    "http://nrg.wustl.edu/nt",
    "nt/nontoolbox.xsd",
    fields=tuple((f"{group}/{name}", kind) for group, fields in FIELDS.items() for name, kind in fields.items()),
)
SUBJECT_METADATA = DataType("hcp:subjectMetadata", "hcp:SubjectMetadata", _HCP, "hcp/hcp.xsd")
TOOLBOX = DataType("hcp:toolboxData", "hcp:ToolboxData", _HCP, "hcp/hcp.xsd")
ALERTNESS = DataType("hcp:alertnessData", "hcp:AlertnessData", _HCP, "hcp/hcp.xsd")
_SUFFIXES = {
    "3T": MR_SESSION.name,
    "SubjMeta": SUBJECT_METADATA.name,
    "Toolbox": TOOLBOX.name,
    "NonToolbox": NT_SCORES.name,
    "Alertness": ALERTNESS.name,
}
_SCANS = (
    *("BIAS_32CH", "BIAS_BC", "T1w_MPR1", "T2w_SPC1", "rfMRI_REST1_RL", "rfMRI_REST1_LR"),
    *("tfMRI_WM_RL", "tfMRI_WM_LR", "tfMRI_EMOTION_RL", "tfMRI_EMOTION_LR", "DWI_dir95_RL", "DWI_dir95_LR"),
)
_AUGUST = datetime.datetime(2012, 8, 20, tzinfo=datetime.timezone.utc)
_SEPTEMBER = datetime.datetime(2012, 9, 1, tzinfo=datetime.timezone.utc)
_SMALLEST_IMAGE = 2048
"""Bytes; the largest has not quite twice as many."""
_TASKS = ("WM", "Gamb", "Mot", "Lang", "Soc", "Rel", "Emo")


def connectomedb(subjects: int = 144, seed: int = 0, package_size: int = SIZE) -> DataSet:
    """The demo's data set: HCP_Q2 with so many subjects, the tutorial's labels first. All synthetic.

    Each has the packages of that release, of about so many bytes each.
    """
    labels = _labels(subjects, seed)
    people = tuple(_subject(number, label, seed) for number, label in enumerate(labels))
    return DataSet(
        projects=_projects(),
        subjects=people,
        experiments=tuple(
            experiment
            for number, subject in enumerate(people)
            for experiment in _experiments(number, subject, seed)
        ),
        types=(MR_SESSION, SUBJECT_METADATA, TOOLBOX, NT_SCORES, ALERTNESS),
        accounts=(
            Account("mylogin", "mypasswd", frozenset({"HCP_Q1", "HCP_Q2"})),
            Account("other", "otherpw", frozenset()),
        ),
        contents=_contents(seed),
        packages=Packages(hcp.Q2, everybody_of="HCP_Q2", size=package_size, seed=seed),
    )


def _labels(subjects: int, seed: int) -> list[str]:
    """The tutorial's labels, then six-digit ones in no particular order, all different."""
    known = list(tutorial.LABELS[:subjects])
    if subjects > len(known):
        taken = set(tutorial.LABELS)
        free = [str(number) for number in range(100_000, 1_000_000) if str(number) not in taken]
        known += Random(f"{seed}:labels").sample(free, subjects - len(known))  # noqa: S311 - no secret
    return known


def _projects() -> tuple[Project, ...]:
    return (
        _project(OWNER, "HCP Subjects", "Owner of all subjects and experiments. Synthetic."),
        _project("HCP_Q1", "HCP Q1 Data Release", "Synthetic, not HCP data."),
        _project("HCP_Q2", "HCP Data Release &#150; Q2", 'Synthetic, not HCP data; has "quotes", a comma.'),
    )


def _project(identifier: str, name: str, description: str) -> Project:
    return Project(
        id=identifier,
        name=name,
        secondary_id=identifier.replace("_", " "),
        description=description,
        pi_firstname="Ann",
        pi_lastname="Example",
        insert_date="2012-08-01 09:00:00.0",
    )


def _shares(number: int, label: str) -> tuple[tuple[str, str], ...]:
    in_q1 = number < tutorial.FIRST_RELEASE
    return (("HCP_Q2", label), ("HCP_Q1", label)) if in_q1 else (("HCP_Q2", label),)


def _subject(number: int, label: str, seed: int) -> Subject:
    random = Random(f"{seed}:subject:{label}")  # noqa: S311 - no secret
    inserted = _AUGUST + datetime.timedelta(milliseconds=random.randrange(10**10))
    edited = inserted + datetime.timedelta(milliseconds=random.randrange(10**9))
    return Subject(
        id=f"ConnectomeDB_S{_FIRST_SUBJECT + number:05d}",
        label=label,
        project=OWNER,
        shares=_shares(number, label),
        group=random.choice(("", "", "twin", "sibling")),
        insert_date=_stamp(inserted),
        last_modified=_stamp(edited) if random.random() < 0.3 else "",
        insert_user="hcpadmin",
        details=_details(random),
    )


def _details(random: Random) -> tuple[tuple[str, str], ...]:
    age = random.randint(22, 35)
    made = {
        "yob": str(2012 - age),
        "age": str(age),
        "gender": random.choice(("female", "male")),
        "handedness": random.choice(("right",) * 8 + ("left", "ambidextrous")),
        "race": random.choice(("White", "Black or African Am.", "Asian/Nat. Hawaiian/Othr Pacific Is.")),
        "ethnicity": random.choice(("Not Hispanic/Latino", "Hispanic/Latino")),
        "education": str(random.randint(11, 17)),
    }
    return tuple((name, value) for name, value in made.items() if name == "gender" or random.random() > 0.1)


def _experiments(number: int, subject: Subject, seed: int) -> Iterator[Experiment]:
    for place, (suffix, kind) in enumerate(_SUFFIXES.items()):
        if suffix == "NonToolbox" and subject.label == tutorial.WITHOUT_SCORES:
            continue
        label = f"{subject.label}_{suffix}"
        random = Random(f"{seed}:experiment:{label}")  # noqa: S311 - no secret
        inserted = _SEPTEMBER + datetime.timedelta(milliseconds=random.randrange(10**10))
        edited = inserted + datetime.timedelta(milliseconds=random.randrange(10**9))
        yield Experiment(
            id=f"ConnectomeDB_E{_FIRST_EXPERIMENT + 5 * number + place:05d}",
            label=label,
            project=OWNER,
            subject_id=subject.id,
            type=kind,
            shares=_shares(number, label),
            date=str(inserted.date()) if suffix == "3T" else "",
            insert_date=_stamp(inserted),
            last_modified=_stamp(edited) if random.random() < 0.2 else "",
            insert_user="hcpadmin",
        )


def _stamp(when: datetime.datetime) -> str:
    """A time as the database prints it: milliseconds without trailing zeros, at least one digit."""
    fraction = f"{when.microsecond // 1000:03d}".rstrip("0") or "0"
    return f"{when:%Y-%m-%d %H:%M:%S}.{fraction}"


# --- contents


def _contents(seed: int) -> Callable[[Experiment], Content]:
    makers: dict[str, Callable[[Random, Experiment], Content]] = {
        MR_SESSION.name: _session,
        SUBJECT_METADATA.name: lambda random, _: Content(groups=_metadata(random)),
        TOOLBOX.name: lambda random, _: Content(groups=_toolbox(random)),
        NT_SCORES.name: lambda random, e: Content(groups=non_toolbox(random, e.label.partition("_")[0])),
        ALERTNESS.name: lambda random, _: Content(groups=_alertness(random)),
    }

    def content(experiment: Experiment) -> Content:
        random = Random(f"{seed}:content:{experiment.id}")  # noqa: S311 - no secret
        return makers[experiment.type](random, experiment)

    return content


def _session(random: Random, experiment: Experiment) -> Content:
    base = int(experiment.id.rpartition("_E")[2]) * 100
    scans = tuple(
        Scan(
            id=str(number),
            type=kind,
            quality=random.choice(("excellent", "good", "usable", "usable")),
            series_description=kind,
            date=experiment.date,
            key=base + number,
            resources=(_image(experiment, kind, base + number),),
        )
        for number, kind in enumerate(_SCANS, start=1)
    )
    return Content(scanner="HCP Skyra", scans=scans, resources=(_note(experiment, base),))


def _note(experiment: Experiment, key: int) -> Resource:
    """The session's own resource: a readme."""
    text = f"Session {experiment.label} of the demo. Synthetic, not HCP data.\n".encode()
    file = File("readme.txt", len(text), text, format="TXT", created=experiment.insert_date)
    return Resource(key, "MEAS", (file,), "TXT", "RAW")


def _image(experiment: Experiment, kind: str, key: int) -> Resource:
    """A scan's resource: one file with an image's name, and bytes that are no image."""
    path = f"{experiment.label}_{kind}.nii.gz"
    size = _SMALLEST_IMAGE + zlib.crc32(path.encode()) % _SMALLEST_IMAGE
    made = functools.partial(_noise, path, size)
    return Resource(key, "NIFTI", (File(path, size, made, created=experiment.insert_date),), "NIFTI", "RAW")


def _noise(name: str, size: int) -> bytes:
    return Random(name).randbytes(size)  # noqa: S311 - no secret


def _metadata(random: Random) -> tuple[Group, ...]:
    """Completion flags straight below the root, in no group."""
    scores: list[Score] = [("Release", "Q2"), ("Full_MR_Compl", _flag(random))]
    scores += [(name, str(random.randint(1, 2))) for name in ("T1_Count", "T2_Count")]
    for task in _TASKS:
        done = random.random() < 0.95
        scores += [
            (f"fMRI_{task}_Compl", str(done).lower()),
            (f"fMRI_{task}_PctCompl", "100.0" if done else "0.0"),
        ]
    scores += [(f"{name}_Compl", _flag(random)) for name in ("Non-TB", "NEO-FFI", "Toolbox", "MMSE", "PSQI")]
    return (("", tuple(scores)),)


def _flag(random: Random) -> str:
    return "true" if random.random() < 0.95 else "false"


def _toolbox(random: Random) -> tuple[Group, ...]:
    tests = {
        "Cognition": ("PicSeq", "CardSort", "Flanker", "ReadEng", "PicVocab", "ProcSpeed", "ListSort"),
        "Motor": ("Endurance", "Dexterity", "Strength"),
        "Sensory": ("Odor", "Taste"),
    }
    made: list[Group] = []
    for group, names in tests.items():
        pairs = [(f"{n}_{form}", f"{random.gauss(100, 15):.2f}") for n in names for form in ("Unadj", "AgeAdj")]
        made.append((group, tuple(pairs)))
    feelings = ("AngAffect", "FearAffect", "Sadness", "LifeSatisf", "PosAffect", "Friendship", "Loneliness")
    made.append(("Emotion", tuple((f"{n}_Unadj", f"{random.gauss(50, 10):.1f}") for n in feelings)))
    return tuple(made)


def _alertness(random: Random) -> tuple[Group, ...]:
    components = [random.randint(0, 3) for _ in range(7)]
    sleep: list[Score] = [("PSQI_Score", str(sum(components)))]
    sleep += [(f"PSQI_Comp{number}", str(value)) for number, value in enumerate(components, start=1)]
    sleep += [
        ("PSQI_Bed_Time", random.choice(("22:30", "11 pm, later on weekends", "midnight", ""))),
        ("PSQI_Sleep_Hours", str(round(random.gauss(7, 1), 1))),
    ]
    return (("MMSE", (("MMSE_Score", str(random.randint(26, 30))),)), ("PSQI", tuple(sleep)))
