"""README.txt at the top of a mount: for who meets it there first. Its commands work as they stand.

Threads: constant.
"""

TEXT = """\
This directory is an XNAT server, such as ConnectomeDB, shown as files by cdbfs.
What you see is what your login may see. All is read-only, but for search/, which is yours.

  projects/<project>/subjects.csv          one row a subject
  projects/<project>/experiments.csv       one row an experiment
  projects/<project>/xml/project.xml       the project's document
  projects/<project>/subjects/<label>/     one directory a subject
      xml/subject.xml                      the subject's document
      experiments/<label>/                 one directory an experiment
          experiment.xml                   its document, as the server sends it
          scores.csv                       score,value: all its scores
          scores/<group>/<score>           one file a score: the value and a newline
  projects/<project>/experiments/<label>   links to the same directories
  projects/<project>/tables/<type>/        one directory a data type of its experiments
      table.csv                            one row an experiment, one column a score; made when it is opened
      fields.csv                           what the columns are
  schema/<type>/fields.csv, schema.xsd     what each data type has
  search/<name>.sql                        a query that you write, in a part of SQL
  search/<name>.csv                        its result; <name>.error says why there is none
  saved/<id>/query.xml, result.csv         a search stored on the server, and what it finds when it is opened
  packages/<project>/<subject>/*.zip       packages of images, where the server has them; opening one fetches it
  unpacked/<project>/<subject>_<package>/  what is in a package, file by file
  .cdbfs/status.json, errors, version      cdbfs about itself; errors says why something failed
  .cdbfs/transfers/                        packages on their way; rm ends a transfer

Try this, in this directory:

  ls projects
  head -n 3 projects/*/subjects.csv
  E=$(find projects -mindepth 5 -maxdepth 5 -type d -path '*/experiments/*' -print -quit)
  ls "$E" "$E/scores"
  cat "$E/scores.csv"

  echo 'SELECT subject, GENDER_TEXT FROM xnat:subjectData' > search/all.sql
  head -n 3 search/all.csv

In R:       read.csv("projects/NAME/subjects.csv")
In Python:  pandas.read_csv("projects/NAME/subjects.csv")

Names cost nothing: a whole project is listed with two requests. The size of a document
(experiment.xml, scores.csv, anything in scores/) costs one request for each experiment, once.
Opening a package fetches it, which may take a while: see .cdbfs/transfers. `cdbfs fetch` gets many at once,
`cdbfs evict` gives their space back, `cdbfs status` tells how things stand.
Opening a table.csv or result.csv costs one search, and none while it is kept; until then it shows as empty.
"""
