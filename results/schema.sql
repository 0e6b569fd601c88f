-- The store of a workspace (`store.db`), version 4.
--
-- Ask it from sqlite3 or pandas: everything a table prints is in the views `metric_values` and
-- `costs`. Metrics are fractions in [0, 1]; what is undefined is NULL, with the reason beside it.
-- Times are UTC, ISO 8601.
-- Only the coordinator writes. All of it but `studies` and `study_jobs` can be rebuilt from jobs/.

CREATE TABLE schema_version (
  version INTEGER NOT NULL           -- One row.
);

-- What people asked for: one row a study's name, as it was planned last.
CREATE TABLE studies (
  id          INTEGER PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  path        TEXT NOT NULL,         -- Of the study file.
  text        TEXT NOT NULL,         -- Its content, and the overrides of the command line below it.
  planned_at  TEXT NOT NULL,
  plan_digest TEXT NOT NULL DEFAULT ''  -- Of jobs and cells: an equal plan is not written again.
);

-- Units of work. The id is the SHA-256 of the canonical spec: equal specs are one job.
CREATE TABLE jobs (
  id          TEXT PRIMARY KEY,
  kind        TEXT NOT NULL,         -- encode, train, evaluate, profile
  spec        TEXT NOT NULL,         -- JSON: all that can change the numbers.
  state       TEXT NOT NULL DEFAULT 'planned'
              CHECK (state IN ('planned', 'running', 'done', 'failed')),
  cost_class  TEXT NOT NULL,         -- Jobs of one class take time in proportion to their work.
  work        REAL NOT NULL,         -- Images, times epochs in a train job.
  result      TEXT,                  -- JSON: result.json of the attempt that succeeded.
  done_at     TEXT
);

CREATE TABLE job_dependencies (
  job         TEXT NOT NULL REFERENCES jobs(id),
  needs       TEXT NOT NULL REFERENCES jobs(id),
  PRIMARY KEY (job, needs)
) WITHOUT ROWID;

-- All jobs that a study needs.
CREATE TABLE study_jobs (
  study       INTEGER NOT NULL REFERENCES studies(id),
  job         TEXT NOT NULL REFERENCES jobs(id),
  PRIMARY KEY (study, job)
) WITHOUT ROWID;

-- The evaluate jobs of a study as its author names them. One job may stand under several names.
CREATE TABLE study_cells (
  study         INTEGER NOT NULL REFERENCES studies(id),
  position      INTEGER NOT NULL,    -- Order in the study file, from 0.
  job           TEXT NOT NULL REFERENCES jobs(id),
  method        TEXT NOT NULL,       -- faprompt
  preset        TEXT NOT NULL,       -- paper
  params        TEXT NOT NULL,       -- JSON object: only what the study changed.
  seed          INTEGER,             -- NULL: nothing is trained.
  train_dataset TEXT NOT NULL,       -- Sets joined by '+'; '' where nothing is trained.
  dataset       TEXT NOT NULL,
  eval_size     INTEGER NOT NULL,    -- Pixels: size of maps and masks in pixel metrics.
  protocol      TEXT NOT NULL,       -- JSON object: what must be equal before numbers are compared.
  overlap       INTEGER NOT NULL,    -- Training images that are also in the target.
  level         TEXT NOT NULL DEFAULT '',     -- image, pixel: only these metrics count; '': both.
  epoch         INTEGER,                      -- Of a curve: before the last one. NULL: the last.
  on_train      INTEGER NOT NULL DEFAULT 0,   -- 1: the auxiliary set, for curves only.
  PRIMARY KEY (study, position)
) WITHOUT ROWID;
CREATE INDEX study_cells_job ON study_cells(job);

-- Versions, build, CPU, ...: one row for each different JSON object.
CREATE TABLE environment (
  id          INTEGER PRIMARY KEY,
  facts       TEXT NOT NULL UNIQUE   -- JSON
);

CREATE TABLE attempts (
  id             INTEGER PRIMARY KEY,
  job            TEXT NOT NULL REFERENCES jobs(id),
  number         INTEGER NOT NULL,   -- From 1; jobs/ab/abcd.../attempt-<number>/
  gang           INTEGER NOT NULL,
  ranks          INTEGER NOT NULL,
  host           TEXT NOT NULL,
  pid            INTEGER NOT NULL,   -- Of rank 0.
  started_at     TEXT NOT NULL,
  ended_at       TEXT,
  seconds        REAL,               -- By a clock that only goes forward.
  outcome        TEXT NOT NULL DEFAULT 'running'
                 CHECK (outcome IN ('running', 'done', 'failed', 'crashed', 'timeout', 'cancelled', 'lost')),
  exit_code      INTEGER,
  signal         INTEGER,
  message        TEXT NOT NULL DEFAULT '',
  log_path       TEXT NOT NULL,
  cpu_capability TEXT NOT NULL,      -- Bits are promised for one capability, one number of threads ...
  threads        INTEGER NOT NULL,   -- ... per rank, and one build (environment).
  environment    INTEGER NOT NULL REFERENCES environment(id),
  UNIQUE (job, number)
);

CREATE INDEX attempts_running ON attempts(outcome) WHERE outcome = 'running';

CREATE TABLE metrics (
  job               TEXT NOT NULL REFERENCES jobs(id),
  dataset           TEXT NOT NULL,
  category          TEXT NOT NULL,   -- 'mean': unweighted mean over the set's categories.
  level             TEXT NOT NULL CHECK (level IN ('image', 'pixel')),
  metric            TEXT NOT NULL,   -- auroc, ap, f1max, aupro, aupro_cflow200
  value             REAL,            -- NULL: undefined.
  undefined_because TEXT NOT NULL DEFAULT '',
  num_normal        INTEGER,         -- Images or pixels, as the level says.
  num_anomalous     INTEGER,
  num_regions       INTEGER,
  num_categories    INTEGER,         -- Of a mean: how many categories are in it.
  PRIMARY KEY (job, dataset, category, level, metric),
  CHECK ((value IS NULL) = (undefined_because <> ''))
) WITHOUT ROWID;

CREATE VIEW metric_values AS
  SELECT studies.name AS study, method, preset, params, seed, train_dataset, metrics.dataset AS dataset,
         category, metrics.level AS level, metric, value, study_cells.job AS job, epoch, on_train
  FROM study_cells
  JOIN studies ON studies.id = study_cells.study
  JOIN metrics ON metrics.job = study_cells.job AND study_cells.level IN ('', metrics.level);

-- What profile jobs measured: one row a figure, whose name has its unit.
CREATE VIEW costs AS
  SELECT studies.name AS study, json_extract(spec, '$.method') AS method,
         json_extract(result, '$.preset') AS preset, json_extract(spec, '$.phase') AS phase,
         json_extract(spec, '$.form') AS form, json_extract(spec, '$.batch') AS batch,
         json_extract(spec, '$.device') AS device, json_extract(spec, '$.host') AS host,
         figure.key AS figure, figure.value AS value, jobs.id AS job
  FROM jobs
  JOIN study_jobs ON study_jobs.job = jobs.id
  JOIN studies ON studies.id = study_jobs.study
  JOIN json_each(jobs.result, '$.figures') AS figure
  WHERE jobs.kind = 'profile';
