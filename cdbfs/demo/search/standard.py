"""XNAT's own display documents, as data: subjects, sessions, projects, and the types every server has.

Ids, headers, types, summaries and descriptions are those that XNAT 1.6.4 answers for ``search/elements``;
``{e}`` stands for the element, ``{SQL}`` for its table in upper case, ``{P}`` for the prefix of a session's
fields. Only subjects, MR sessions, projects and one generated type (nt:scores) were recorded: XNAT's other types
follow the generated one, as its other sessions were seen to; a data set's own session types follow MR's. Used by
``displays``. Constants, any thread.
"""

from __future__ import annotations

from cdbfs.demo.search.fields import DisplayField, Link, Version

SUBJECT = "xnat:subjectData"
PROJECT = "xnat:projectData"
MR_SESSION = "xnat:mrSessionData"

TITLES = {
    "xnat:qcAssessmentData": ("Auto QC", "Auto QCs"),
    "xnat:crSessionData": ("CR Session", "CR Sessions"),
    "xnat:nmSessionData": ("NM Session", "NM Sessions"),
    "xnat:mrSessionData": ("MR Session", "MR Sessions"),
    "xnat:rfSessionData": ("RF Session", "RF Sessions"),
    "xnat:megSessionData": ("MEG Session", "MEG Sessions"),
    "xnat:ctSessionData": ("CT Session", "CT Sessions"),
    "xnat:mgSessionData": ("MG Session", "MG Sessions"),
    "xnat:pVisitData": ("Visit", "Visits"),
    "xnat:gmSessionData": ("GM Session", "GM Sessions"),
    "xnat:esvSessionData": ("ESV Session", "ESV Sessions"),
    "xnat:usSessionData": ("Ultrasound", "Ultrasounds"),
    "val:protocolData": ("Protocol Validation", "Protocol Validations"),
    "xnat:srSessionData": ("SR Session", "SR Sessions"),
    "xnat:eegSessionData": ("EEG Session", "EEG Sessions"),
    "xnat:optSessionData": ("OPT Session", "OPT Sessions"),
    "xnat:petSessionData": ("PET Session", "PET Sessions"),
    "xnat:otherDicomSessionData": ("Other DICOM Session", "Other DICOM Sessions"),
    "xnat:opSessionData": ("OP Session", "OP Sessions"),
    "xnat:gmvSessionData": ("GMV Session", "GMV Sessions"),
    "xnat:epsSessionData": ("EPS Session", "EPS Sessions"),
    "xnat:investigatorData": ("Investigator", "Investigator"),
    PROJECT: ("Project", "Projects"),
    "xnat:qcManualAssessorData": ("Manual QC", "Manual QCs"),
    "xnat:smSessionData": ("SM Session", "SM Sessions"),
    "xnat:xaSessionData": ("XA Session", "XA Sessions"),
    "xnat:ioSessionData": ("IO Session", "IO Sessions"),
    "xnat:rtSessionData": ("RT Session", "RT Sessions"),
    "xnat:petmrSessionData": ("PET-MR Session", "PET-MR Sessions"),
    "xnat:xcSessionData": ("XC Session", "XC Sessions"),
    "xnat:xa3DSessionData": ("XA3D Session", "XA3D Sessions"),
    "xnat:xcvSessionData": ("XCV Session", "XCV Sessions"),
    "xnat:ecgSessionData": ("ECG Session", "ECG Sessions"),
    "xnat:dx3DCraniofacialSessionData": ("DX3DCRANIOFACIAL Session", "DX3DCRANIOFACIAL Sessions"),
    SUBJECT: ("Subject", "Subjects"),
    "xnat:dxSessionData": ("DX Session", "DX Sessions"),
    "xnat:hdSessionData": ("HD Session", "HD Sessions"),
    "xnat:esSessionData": ("ES Session", "ES Sessions"),
}
"""What a fresh XNAT 1.6.4 has: element -> (singular, plural), in the order of its listing."""
FIRST_AFTER_SITE = "xnat:xaSessionData"
"""The listing's order is that of a hash table; a site's own type was seen before this one."""
SITE_TITLES = {"nt:scores": ("Non-Toolbox Data", "Non-Toolbox Data")}
"""What its administrators called types of a site's own; others are called after their element."""
UNSECURED = frozenset({"xnat:investigatorData"})

_F = DisplayField
_EXPERIMENT_AGE = (
    "CAST(COALESCE(FLOOR(CAST((CAST((({e}/date) - (xnat:demographicData/dob))AS FLOAT4)/365) AS numeric)),"
    "FLOOR((EXTRACT(YEAR FROM {e}/date)) - (xnat:demographicData/yob))) AS numeric)"
)
_YEARS = (
    "EXTRACT(YEAR FROM AGE({e}/date, xnat:demographicData/dob)),"
    "(EXTRACT(YEAR FROM {e}/date)) - (xnat:demographicData/yob)"
)
_ITEM = "/app/action/DisplayItemAction/search_value/@Field1/search_element/{e}/search_field/{e}.ID"


def _item_links(key: str, *, inserted: bool = False) -> tuple[Link, ...]:
    """A link to the item's report, and what its tooltip says of the item's making."""
    shown = (
        Link("HREF", _ITEM, (("Field1", key),)),
        Link("ONCLICK", "return rpt('@Field1','{e}','{e}.ID');", (("Field1", key),)),
    )
    tip = Link("TITLE", "Inserted: @Field1 (@Field2)", (("Field2", "INSERT_USER"), ("Field1", "INSERT_DATE")))
    return (*shown, tip) if inserted else shown


def _report_links(key: str, element: str) -> tuple[Link, ...]:
    report = f"return rpt('@Field1','{element}','{element}.ID');"
    return (Link("HREF", "none"), Link("ONCLICK", report, (("Field1", key),)))


def _in_project_link(key: str) -> Link:
    return Link("HREF", _ITEM + "/project/@Field2", (("Field2", "@WHERE"), ("Field1", key)))


SUBJECT_FIELDS = (
    _F("SUBJECT_ID", "Subject", "string", "{e}/ID", listed=False),
    _F("SUBJECTID", "Subject", "string", "{e}/ID", listed=False),
    _F("INSERT_DATE", "Inserted", "date", "{e}/meta/insert_date", sql="timestamp"),
    _F("INSERT_USER", "Creator", "string", "{e}/meta/insert_user/login"),
    _F("GENDER", "Gender", "string", "xnat:demographicData/gender", listed=False),
    _F(
        *("GENDER_TEXT", "M/F", "string"),
        "CASE xnat:demographicData/gender WHEN 'male' THEN 'M' WHEN 'female' THEN 'F' ELSE 'U' END",
    ),
    _F("HANDEDNESS", "Hand", "string", "xnat:demographicData/handedness", listed=False),
    _F(
        *("HANDEDNESS_TEXT", "Hand", "string"),
        "CASE LOWER(xnat:demographicData/handedness) WHEN 'left' THEN 'L' WHEN 'right' THEN 'R'"
        " WHEN 'ambidextrous' THEN 'A' WHEN 'r' THEN 'R' WHEN 'l' THEN 'L' WHEN 'a' THEN 'A' END",
    ),
    _F(
        *("DOB", "YOB", "integer"),
        "CAST(FLOOR(COALESCE(xnat:demographicData/yob,EXTRACT(YEAR FROM xnat:demographicData/dob))) AS INTEGER)",
    ),
    _F("EDUC", "Education", "integer", "xnat:demographicData/education"),
    _F("SES", "Ses", "integer", "xnat:demographicData/ses"),
    _F("MR_COUNT", "MR Count", "integer", "", listed=False),
    _F("INVEST_CSV", "PI", "string", "{e}/investigator/lastname"),
    _F("PROJECTS", "Projects", "string", "SUB_PROJECTS.PROJECTS", "All projects tied to a subject"),
    _F("PROJECT", "Project", "string", "{e}/project", "Subject's primary project"),
    _F("SUB_GROUP", "Group", "string", "{e}/group"),
    _F(
        *("SUBJECT_LABEL", "Subject", "string", ""),
        listed=False,
        secured=True,
        links=_item_links("SUBJECTID", inserted=True),
    ),
    _F("SHARED_LABEL", "Subject", "string", "{e}/sharing/share/label", listed=False),
    _F(
        *("SUB_PROJECT_IDENTIFIER", "Subject", "string", ""),
        listed=False,
        secured=True,
        needs_value=True,
        links=(_in_project_link("SUBJECTID"), _item_links("SUBJECTID")[1]),
    ),
    _F("SUB_EXPT_COUNT", "Count", "integer", "", listed=False, needs_value=True),
    _F("XNAT_SUBJECTDATA_FIELD_MAP", "Field", "string", "", listed=False, needs_value=True),
    _F("ADD_IDS", "Labels", "string", "SUBJECT_IDS.ADDIDS"),
    _F("RACE", "Race", "string", "xnat:demographicData/race"),
    _F("ETHNICITY", "Ethnicity", "string", "xnat:demographicData/ethnicity"),
)

SESSION_FIELDS = (
    _F("SESSION_ID", "Session", "string", "{e}/ID", "{s} Accession Number"),
    _F("VIEW", "", "UNKNOWN", "", listed=False),
    _F("SUBJECT_ID", "Subject", "string", "{e}/subject_ID", "Subject Accession Number", visible=False),
    _F("RPT", "", "UNKNOWN", "", listed=False),
    _F("DATE", "Date", "date", "{e}/date", "{s} Date (DATE)"),
    _F("DATE_CHAR", "Date", "date", "{e}/date", listed=False),
    _F(
        *("INVEST_SEARCH", "PI", "string"),
        "{e}/investigator/firstname || ' ' || {e}/investigator/lastname",
        "Primary Investigator (first and last name)",
    ),
    _F("INVEST", "PI", "string", "{e}/investigator/lastname", "Primary Investigator (last name)"),
    _F("INVEST_ID", "PI", "integer", "{e}/investigator/xnat_investigatorData_id", listed=False),
    _F("INVEST_CSV", "PI", "string", "{e}/investigator/lastname", listed=False),
    _F("{P}_NOTES", "Notes", "string", "{e}/note", listed=False),
    _F("{P}_NOTES_CSV", "Notes", "string", "{e}/note", listed=False),
    _F("OPERATOR", "Operator", "string", "{e}/operator", listed=False),
    _F("TYPE", "Type", "string", "{e}/session_type"),
    _F("SCANNER", "Scanner", "string", "{e}/scanner", listed=False),
    _F("MARKER", "Marker", "string", "{e}/marker", listed=False),
    _F("STABILIZATION", "Stabilization", "string", "{e}/stabilization", listed=False),
    _F("OPERATOR_CSV", "Operator", "string", "{e}/operator"),
    _F("SCANNER_CSV", "Scanner", "string", "{e}/scanner"),
    _F("MARKER_CSV", "Marker", "string", "{e}/marker"),
    _F("STABILIZATION_CSV", "Stabilization", "string", "{e}/stabilization"),
    _F("GEN_AGE", "Age", "float", f"CAST(ROUND(CAST(COALESCE({{e}}/age,{_YEARS}) AS numeric),2) AS numeric)"),
    _F(
        *("AGE", "Age", "float"),
        f"CAST(FLOOR(CAST(COALESCE({{e}}/age,xnat:demographicData/age,{_YEARS}) AS numeric)) AS numeric)",
    ),
    _F("DTI_COUNT", "DTI Count", "integer", "DTI_COUNT.DTI_COUNT"),
    _F("INSERT_DATE", "Inserted", "date", "{e}/meta/insert_date", "Date session was archived", sql="timestamp"),
    _F("INSERT_USER", "Creator", "string", "{e}/meta/insert_user/login", "User who archived session"),
    _F(
        *("LAST_MODIFIED", "Modified", "date"),
        "COALESCE({e}/meta/last_modified, {e}/meta/insert_date)",
        sql="timestamp",
    ),
    _F("{P}_SCAN_COUNT_AGG", "Scans", "string", "{P}_SCAN_COUNT_AGG.TYPE_COUNT", "Aggregated Scan Counts"),
    _F("WORKFLOW_STATUS", "Process", "UNKNOWN", "", listed=False),
    _F("PROJECTS", "Projects", "string", "", listed=False),
    _F("PROJECT", "Project", "string", "{e}/project", "Primary Project for this session"),
    _F(
        *("{P}_PROJECT_IDENTIFIER", "{P} ID", "string", ""),
        listed=False,
        secured=True,
        needs_value=True,
        links=(_in_project_link("SESSION_ID"),),
    ),
    _F(
        *("LABEL", "Label", "string", ""),
        listed=False,
        secured=True,
        links=_item_links("SESSION_ID", inserted=True),
    ),
    _F("{P}_EXPT_COUNT", "Count", "integer", "", listed=False, needs_value=True),
    _F("{SQL}_FIELD_MAP", "Field", "string", "", listed=False, needs_value=True),
    _F("{COL}SHARINGSHAREPROJECT", "project", "string", "{e}/sharing/share/project"),
)

ASSESSOR_FIELDS = (
    _F("SUBJECT_ID", "Subject", "string", "{e}/subject_ID", links=_report_links("SUBJECT_ID", SUBJECT)),
    _F("EXPT_ID", "ID", "string", "{e}/ID", links=_report_links("EXPT_ID", "{e}")),
    _F("RPT", "ID", "UNKNOWN", "", listed=False),
    _F("DATE", "Date", "date", "{e}/date"),
    _F("AGE", "Age", "integer", _EXPERIMENT_AGE, sql="float"),
    _F("PROJECTS", "Projects", "string", "", listed=False),
    _F(
        *("LABEL", "Label", "string", ""),
        listed=False,
        secured=True,
        links=_item_links("EXPT_ID", inserted=True),
    ),
    _F("PROJECT", "Project", "string", "{e}/project"),
    _F(
        *("{SQL}_PROJECT_IDENTIFIER", "{SQL} ID", "string", ""),
        listed=False,
        secured=True,
        needs_value=True,
        links=(_in_project_link("EXPT_ID"),),
    ),
    _F("INSERT_DATE", "Inserted", "string", "{e}/meta/insert_date", sql="timestamp"),
    _F("INSERT_USER", "Creator", "string", "{e}/meta/insert_user/login"),
    _F("{SQL}_FIELD_MAP", "Field", "string", "", listed=False, needs_value=True),
)
"""What XNAT generates for a data type before the type's own fields ..."""
ASSESSOR_LAST = _F("{COL}SHARINGSHAREPROJECT", "project", "string", "{e}/sharing/share/project")
"""... and behind them."""

_COUNTS = tuple(
    _F(f"PROJ_{kind}_COUNT", f"{kind} Count", "integer", f"PROJ_{kind}_COUNTS.PROJ_EXPT_COUNT")
    for kind in ("MR", "CT", "PET", "UT")
)
_VIEWS = (
    ("PROJECT_INVS", "Investigators", "PROJ_INVS"),
    ("PROJECT_ACCESS", "Accessibility", "accessibility"),
    ("PROJECT_USERS", "Users", "users"),
    ("PROJECT_OWNERS", "Owners", "users"),
    ("PROJECT_MEMBERS", "Members", "users"),
    ("PROJECT_COLLABS", "Collaborators", "users"),
    ("PROJECT_LAST_WORKFLOW", "Last Workflow", "LAST_WORKFLOW"),
    ("PROJECT_LAST_ACCESS", "Last Access", "users"),
)
PROJECT_FIELDS = (
    _F("INSERT_DATE", "Inserted", "string", "{e}/meta/insert_date", sql="timestamp"),
    _F("INSERT_USER", "Creator", "string", "{e}/meta/insert_user/login"),
    _F("ID", "ID", "string", "{e}/ID", links=_item_links("ID")),
    _F("NAME", "Title", "string", "{e}/name", links=_item_links("ID")),
    _F("NAME_CSV", "Title", "string", "{e}/name"),
    _F("DESCRIPTION", "Description", "string", "substring({e}/description FROM 0 FOR 162)"),
    _F("DESCRIPTION_CSV", "Description", "string", "{e}/description"),
    _F("SECONDARY_ID", "Running Title", "string", "{e}/secondary_ID"),
    _F("KEYWORDS", "Keywords", "string", "{e}/keywords"),
    _F("PI", "PI", "string", "{e}/PI/firstname || ' ' || {e}/PI/lastname"),
    *(_F(name, header, "string", f"{name}.{column}") for name, header, column in _VIEWS),
    _F("PROJECT_FAV", "Favorites", "string", "PROJECT_FAVS.users"),
    _F("PROJECT_ACCESS_IMG", "Access", "string", "", listed=False),
    _F("USER_ROLE", "Role", "string", "", listed=False, needs_value=True),
    _F("LAST_ACCESSED", "Last Accessed", "string", "", listed=False, needs_value=True),
    _F("PROJ_EXPT_COUNT", "Count", "string", "", listed=False, needs_value=True),
    *_COUNTS,
    _F("PROJ_QUARANTINE", "Quarantine Code", "integer", "", listed=False),
    _F("PROJ_PREARCHIVE_CODE", "Prearchive Code", "integer", "", listed=False),
)


def _v(name: str, names: str, order_by: str, order: str, dark: str, light: str) -> Version:
    """A version from words: ``X`` a field of the element, ``s.X`` one of its subject."""
    fields = [(SUBJECT, word[2:]) if word.startswith("s.") else ("{e}", word) for word in names.split()]
    return Version(name, tuple(fields), order_by, order, dark, light)


_GREY = ("DEDEDE", "FFFFFF")
_GREEN = ("99FF99", "CCFFCC")
_LISTING = "LABEL PROJECT DATE s.SUBJECT_LABEL s.GENDER_TEXT AGE TYPE SCANNER {P}_SCAN_COUNT_AGG"
_CORE = "s.SUBJECT_LABEL LABEL DATE s.GENDER_TEXT AGE"
_BRIEF = "SUBJECT_LABEL GENDER HANDEDNESS DOB EDUC SES"
SUBJECT_VERSIONS = (
    _v("brief", _BRIEF, "SUBJECT_ID", "ASC", *_GREY),
    _v("project_bundle", "SUB_PROJECT_IDENTIFIER GENDER_TEXT HANDEDNESS_TEXT DOB", "SUBJECTID", "ASC", *_GREY),
    _v("listing", f"{_BRIEF} MR_COUNT", "SUBJECT_ID", "ASC", *_GREY),
)
SESSION_VERSIONS = (
    _v("core_csv", _CORE, "EXPT_DATE", "ASC", "", ""),
    _v("listing_csv", _LISTING, "DATE", "DESC", *_GREY),
    _v("core", _CORE, "SESSION", "ASC", "dedede", "ffffff"),
    _v(
        "detailed_csv",
        "{P}_NOTES_CSV OPERATOR_CSV s.COHORT SCANNER_CSV MARKER_CSV STABILIZATION_CSV",
        *("{P}_NOTES", "ASC", *_GREEN),
    ),
    _v("brief_csv", "{P}_NOTES_CSV", "{P}_NOTES", "ASC", *_GREEN),
    _v(
        "detailed",
        "{P}_NOTES LABEL OPERATOR s.COHORT SCANNER MARKER STABILIZATION",
        *("OPERATOR", "ASC", *_GREEN),
    ),
    _v("listing", _LISTING, "DATE", "DESC", *_GREY),
    _v("root", "LABEL PROJECT DATE s.SUBJECT_LABEL s.GENDER_TEXT AGE", "DATE", "DESC", *_GREY),
    _v(
        "project_bundle",
        "{P}_PROJECT_IDENTIFIER DATE s.SUB_PROJECT_IDENTIFIER AGE SCANNER {P}_SCAN_COUNT_AGG",
        *("DATE", "DESC", *_GREY),
    ),
    _v(
        "meta_data",
        "RPT VIEW SESSION_ID LAST_MODIFIED INVEST INSERT_USER PREARCHIVE",
        *("SES", "ASC", *_GREEN),
    ),
    _v("brief", "{P}_NOTES", "{P}_NOTES", "ASC", *_GREEN),
)
PROJECT_VERSIONS = tuple(
    _v(
        name,
        "ID NAME DESCRIPTION SECONDARY_ID KEYWORDS PROJ_MR_COUNT PROJ_PET_COUNT PROJ_CT_COUNT USER_ROLE"
        " PROJECT_ACCESS",
        *("ID", "ASC", *_GREY),
    )
    for name in ("full", "listing")
)
_PURPLE = ("DATE", "DESC", "9999CC", "CCCCFF")
ASSESSOR_VERSIONS = (
    _v("detailed", "*", *_PURPLE),
    _v("full", "EXPT_ID s.SUBJECT_LABEL DATE AGE *", *_PURPLE),
    _v("project_bundle", "{SQL}_PROJECT_IDENTIFIER s.SUB_PROJECT_IDENTIFIER DATE AGE *", *_PURPLE),
    _v("listing_csv", "LABEL s.SUBJECT_LABEL DATE AGE *", *_PURPLE),
    _v("listing", "RPT LABEL s.SUBJECT_LABEL DATE s.GENDER AGE *", *_PURPLE),
)
"""``*`` stands for the type's own fields."""
