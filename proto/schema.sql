-- The store contract: heaptape.db. Plain tables answer what everybody asks first, in any SQLite
-- client; every single event lies in `chunks`, which heaptape_sqlite.so reads as the virtual
-- tables events, allocations and pages.
--
-- Units are in the names: _bytes, and _ns since the run began (or since 1970 where the comment
-- says so). Ids count from 1; an id of 0 means "unknown".
-- Changing this file: a new column or table needs a step in proto/store.c's upgrade table and
-- bumps user_version. Readers accept older versions and refuse newer ones.
PRAGMA user_version = 1;

-- One row per `heaptape run` (or per program started by hand against a daemon).
CREATE TABLE runs(
  run_id      INTEGER PRIMARY KEY,
  label       TEXT NOT NULL DEFAULT '',  -- --label; need not be unique: the last one is meant
  command     TEXT NOT NULL,             -- words joined by spaces, quoted as a shell would need
  cwd         TEXT NOT NULL DEFAULT '',
  host        TEXT NOT NULL DEFAULT '',
  started_at  INTEGER NOT NULL,          -- nanoseconds since 1970
  ended_at    INTEGER,                   -- nanoseconds since 1970; NULL while it runs
  state       TEXT NOT NULL,             -- running, complete, incomplete (some events lost, or a process
                                         -- was not recorded), cut
                                         -- (the recording stopped before the program did)
  exit_code   INTEGER,                   -- of the program's first process; NULL: see exit_signal
  exit_signal INTEGER,                   -- signal that ended it
  user_ns     INTEGER,                   -- processor time of the program and its children
  system_ns   INTEGER,
  max_rss_bytes INTEGER,                 -- as the kernel reports it for the largest process
  socket      TEXT NOT NULL DEFAULT '',  -- where the daemon that records it listens
  version     TEXT NOT NULL,             -- heaptape's version that recorded it
  settings    TEXT NOT NULL DEFAULT '',  -- NAME=value, one a line
  recorder    TEXT NOT NULL DEFAULT ''   -- the daemon that writes it (proto/recorder.h), so that a
                                         -- run that goes on is told from one whose daemon was killed
);

-- One row per program a process has been: exec begins a new row with the same pid.
CREATE TABLE processes(
  process_id        INTEGER PRIMARY KEY,
  run_id            INTEGER NOT NULL REFERENCES runs,
  parent_process_id INTEGER,             -- NULL: none that was recorded
  pid               INTEGER NOT NULL,
  executable        TEXT NOT NULL,
  command           TEXT NOT NULL,
  title             TEXT,                -- what it called itself last, where that is something else
                                         -- (setproctitle: 'nginx: worker process'); NULL: command
  forked            INTEGER NOT NULL DEFAULT 0, -- 1: its parent's copy, with its parent's blocks, that
                                         -- goes on without exec
  started_ns        INTEGER NOT NULL,
  ended_ns          INTEGER,             -- NULL while it runs
  ending            TEXT NOT NULL,       -- running, exited, signaled, exec, vanished, cut
  exit_code         INTEGER,
  exit_signal       INTEGER,
  events            INTEGER NOT NULL DEFAULT 0, -- stored
  lost_events       INTEGER NOT NULL DEFAULT 0, -- known to be missing: dropped, gaps, unrecorded
  foreign_frees     INTEGER NOT NULL DEFAULT 0, -- frees of blocks of another allocator
  cut_stacks        INTEGER NOT NULL DEFAULT 0, -- stacks that do not reach the outermost frame
  wait_ns           INTEGER NOT NULL DEFAULT 0, -- time the program waited for the daemon
  allocations       INTEGER NOT NULL DEFAULT 0, -- malloc, calloc, realloc, memalign that gave a block
  allocated_bytes   INTEGER NOT NULL DEFAULT 0, -- requested
  frees             INTEGER NOT NULL DEFAULT 0, -- free, and realloc of an earlier block
  freed_bytes       INTEGER NOT NULL DEFAULT 0, -- as they were requested
  reallocations     INTEGER NOT NULL DEFAULT 0, -- realloc of an earlier block (counted on both sides)
  failed            INTEGER NOT NULL DEFAULT 0, -- requests answered with NULL
  temporary         INTEGER NOT NULL DEFAULT 0, -- freed by the same thread before it allocated again
  preexisting_frees INTEGER NOT NULL DEFAULT 0, -- of blocks allocated before recording began
  live_blocks       INTEGER NOT NULL DEFAULT 0, -- allocations - frees, unless there are gaps (table gaps)
  live_bytes        INTEGER NOT NULL DEFAULT 0,
  peak_blocks       INTEGER NOT NULL DEFAULT 0, -- live blocks at peak_ns
  peak_bytes        INTEGER NOT NULL DEFAULT 0, -- the most live bytes at any moment
  peak_ns           INTEGER,
  held_bytes        INTEGER NOT NULL DEFAULT 0, -- pages the allocator holds from the system
  peak_held_bytes   INTEGER NOT NULL DEFAULT 0,
  peak_rss_bytes    INTEGER NOT NULL DEFAULT 0, -- highest sampled resident set
  late_events       INTEGER NOT NULL DEFAULT 0, -- arrived after their turn in time: the peak may be off by their size
  foreign_symbols   INTEGER NOT NULL DEFAULT 0, -- names of malloc's family that are the program's own functions:
                                                -- what these give out is not recorded
  foreign_path      TEXT NOT NULL DEFAULT '',   -- the file that brings them: the program, or one that was
                                                -- loaded into a namespace of its own (dlmopen; each in notes)
  unrecorded_reason TEXT                 -- why nothing of this program is recorded, although it is part of the
                                         -- run (statically linked, setuid, ...); NULL: it is recorded
);
CREATE INDEX processes_run ON processes(run_id);

CREATE TABLE threads(
  thread_id    INTEGER PRIMARY KEY,
  process_id   INTEGER NOT NULL REFERENCES processes,
  number       INTEGER NOT NULL,         -- within the process, from 1
  tid          INTEGER NOT NULL,
  name         TEXT NOT NULL DEFAULT '',
  started_ns   INTEGER NOT NULL,
  ended_ns     INTEGER,
  events       INTEGER NOT NULL DEFAULT 0,
  lost_events  INTEGER NOT NULL DEFAULT 0,  -- gaps in the sequence numbers
  allocations  INTEGER NOT NULL DEFAULT 0,
  allocated_bytes INTEGER NOT NULL DEFAULT 0,
  frees        INTEGER NOT NULL DEFAULT 0,  -- by this thread, whoever allocated
  freed_bytes  INTEGER NOT NULL DEFAULT 0,
  UNIQUE(process_id, number)
);

-- Why stacks were cut short, for processes that have such. The reasons:
--   depth      more frames than are recorded (run --depth, 4096 at most)
--   no row     code without unwind data: made at run time, or assembly without annotations
--   bounds     the next frame would lie outside the thread's stack
--   rule       unwind data of a kind that is not understood
--   table      no room for another stack
CREATE TABLE stack_cuts(
  process_id INTEGER NOT NULL REFERENCES processes,
  reason     TEXT NOT NULL,
  stacks     INTEGER NOT NULL,           -- captures that ended so; they add up to processes.cut_stacks
  PRIMARY KEY(process_id, reason)
) WITHOUT ROWID;

-- Modules are shared by all processes and runs: the same file is the same row.
CREATE TABLE modules(
  module_id INTEGER PRIMARY KEY,
  path      TEXT NOT NULL,
  build_id  TEXT NOT NULL DEFAULT '',    -- hexadecimal; '' when the file has none
  UNIQUE(path, build_id)
);

-- Where each module was mapped in each process.
CREATE TABLE mappings(
  process_id INTEGER NOT NULL REFERENCES processes,
  module_id  INTEGER NOT NULL REFERENCES modules,
  base       INTEGER NOT NULL,           -- load bias
  start      INTEGER NOT NULL,           -- mapped range, end exclusive
  end        INTEGER NOT NULL,
  mapped_ns  INTEGER NOT NULL,
  unmapped_ns INTEGER
);
CREATE INDEX mappings_process ON mappings(process_id);

-- A place in a module. Inlined functions at one offset are further rows: inline_depth 0 is the
-- innermost, the greatest is the function that really stands in the code.
CREATE TABLE frames(
  frame_id     INTEGER PRIMARY KEY,
  module_id    INTEGER NOT NULL,         -- 0: no module (code made at run time)
  offset       INTEGER NOT NULL,         -- of the return address, from the load bias
  inline_depth INTEGER NOT NULL DEFAULT 0,
  function     TEXT,                     -- as people call it: std::string, not its templates; NULL: not known
  file         TEXT,
  line         INTEGER,
  inlined      INTEGER NOT NULL DEFAULT 0,
  outer_frame_id INTEGER,                -- the frame this one is inlined into
  symbol_state TEXT NOT NULL DEFAULT 'pending', -- pending, resolved, symbol (no line), unknown
  symbol       TEXT,                     -- as linkers have it, without version and suffixes
  full_name    TEXT,                     -- demangled, in full; NULL: it is `function`
  name_key     TEXT,                     -- the same for a function in every build; NULL: it is `function`
  UNIQUE(module_id, offset, inline_depth)
);
CREATE INDEX frames_pending ON frames(module_id) WHERE symbol_state = 'pending';

-- Call stacks as a tree shared by all runs; a stack is named by its innermost node.
CREATE TABLE stacks(
  stack_id        INTEGER PRIMARY KEY,
  parent_stack_id INTEGER NOT NULL,      -- 0: outermost frame
  frame_id        INTEGER NOT NULL REFERENCES frames,
  depth           INTEGER NOT NULL,      -- frames from the outermost, itself included
  by_frame_pointer INTEGER NOT NULL DEFAULT 0, -- 1: this frame's code has no unwind data (made at run time,
                                         -- assembly); its caller was found by the frame pointer,
                                         -- which the code proves to be one
  UNIQUE(parent_stack_id, frame_id)
);

CREATE TABLE stack_totals(
  process_id      INTEGER NOT NULL REFERENCES processes,
  stack_id        INTEGER NOT NULL,      -- 0: no stack was recorded
  allocations     INTEGER NOT NULL,
  allocated_bytes INTEGER NOT NULL,
  frees           INTEGER NOT NULL,
  freed_bytes     INTEGER NOT NULL,
  temporary       INTEGER NOT NULL,
  peak_blocks     INTEGER NOT NULL,      -- live at the process's peak
  peak_bytes      INTEGER NOT NULL,
  live_blocks     INTEGER NOT NULL,
  live_bytes      INTEGER NOT NULL,
  PRIMARY KEY(process_id, stack_id)
) WITHOUT ROWID;

-- How often blocks of each requested size were allocated: exact up to 1024 bytes, then by the
-- upper end of an eighth of a power of two.
CREATE TABLE size_histogram(
  process_id      INTEGER NOT NULL REFERENCES processes,
  up_to_bytes     INTEGER NOT NULL,      -- requested sizes up to this, above the row before
  allocations     INTEGER NOT NULL,
  allocated_bytes INTEGER NOT NULL,
  live_blocks     INTEGER NOT NULL,
  live_bytes      INTEGER NOT NULL,
  PRIMARY KEY(process_id, up_to_bytes)
) WITHOUT ROWID;

-- The timeline: at regular steps (thinned as a run grows long) and at each process's end.
CREATE TABLE samples(
  process_id  INTEGER NOT NULL REFERENCES processes,
  at_ns       INTEGER NOT NULL,
  live_blocks INTEGER NOT NULL,
  live_bytes  INTEGER NOT NULL,
  held_bytes  INTEGER NOT NULL,          -- pages the allocator holds from the system
  rss_bytes   INTEGER NOT NULL,          -- resident set as the kernel counts it; 0 unknown
  allocations INTEGER NOT NULL,          -- since the process began
  frees       INTEGER NOT NULL,
  PRIMARY KEY(process_id, at_ns)
) WITHOUT ROWID;

-- Times when recording was off: a process that began dormant, or was paused. What was allocated and
-- freed meanwhile is unknown. When recording goes on, the process lists the blocks that are live
-- (events of kind live); live numbers are right from then on, by
--   live_blocks = allocations - frees + the sum over gaps of (listed_blocks - known_blocks)
-- and peaks are those of the times between gaps. While a gap lasts, and when the process ends in it,
-- live numbers are those of its beginning.
CREATE TABLE gaps(
  process_id    INTEGER NOT NULL REFERENCES processes,
  from_ns       INTEGER NOT NULL,
  to_ns         INTEGER,                 -- NULL: recording has not gone on
  known_blocks  INTEGER NOT NULL DEFAULT 0, -- live when it began
  known_bytes   INTEGER NOT NULL DEFAULT 0,
  kept_blocks   INTEGER NOT NULL DEFAULT 0, -- of those, live still afterwards; the others were freed in it.
                                         -- After a gap that is not complete, also some known before that one
  kept_bytes    INTEGER NOT NULL DEFAULT 0,
  listed_blocks INTEGER NOT NULL DEFAULT 0, -- live afterwards, the kept ones included
  listed_bytes  INTEGER NOT NULL DEFAULT 0,
  complete      INTEGER NOT NULL DEFAULT 0, -- 1: all that were live are listed; 0: not yet, or never
  PRIMARY KEY(process_id, from_ns)
) WITHOUT ROWID;

-- Marks: moments that have a name. Of `heaptape mark`, when everything was stored and samples has a row for
-- each process; or of the program itself, by heaptape_mark() (shim/api/heaptape.h).
CREATE TABLE marks(
  mark_id     INTEGER PRIMARY KEY,
  run_id      INTEGER NOT NULL REFERENCES runs,
  process_id  INTEGER REFERENCES processes, -- the program that set it; NULL: `heaptape mark`, of the whole run
  at_ns       INTEGER NOT NULL,          -- since the run began
  label       TEXT NOT NULL,             -- as given, else 'mark 1', 'mark 2', ...
  processes   INTEGER NOT NULL,          -- running at that moment; of a program's own mark: 1
  missing     INTEGER NOT NULL,          -- of those, dormant ones whose live blocks are not all listed
  live_blocks INTEGER NOT NULL,          -- of these processes together
  live_bytes  INTEGER NOT NULL
);
CREATE INDEX marks_run ON marks(run_id, at_ns);

-- The events themselves, in order of time within a process. What the blob holds is described in
-- proto/chunk.h. The bounds let a query pass over a chunk without opening it.
--
-- Stacks in the virtual tables: stack_id is where the block was allocated (of a free: the block
-- freed); events.free_stack_id and allocations.freed_stack_id are where it was freed, NULL when
-- that is not known: frees tell it with `run --free-stacks` only, reallocs always. Blocks freed
-- here although allocated there:
--   SELECT stack_text(stack_id), stack_text(freed_stack_id), count(*), sum(size_bytes)
--   FROM allocations WHERE freed_stack_id IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC;
CREATE TABLE chunks(
  chunk_id     INTEGER PRIMARY KEY,
  process_id   INTEGER NOT NULL REFERENCES processes,
  events       INTEGER NOT NULL,
  first_ns     INTEGER NOT NULL,         -- lowest and highest at_ns
  last_ns      INTEGER NOT NULL,
  kinds        INTEGER NOT NULL,         -- bit k: an event of kind k (proto/event.h) is inside
  thread_low   INTEGER NOT NULL,         -- threads.number, lowest and highest
  thread_high  INTEGER NOT NULL,
  stack_low    INTEGER NOT NULL,         -- stack_id, lowest and highest
  stack_high   INTEGER NOT NULL,
  address_low  INTEGER NOT NULL,         -- lowest and highest address
  address_high INTEGER NOT NULL,
  oldest_ns    INTEGER NOT NULL,         -- lowest at_ns or allocated_at_ns inside
  raw_bytes    INTEGER NOT NULL,         -- size before compression
  blob         BLOB NOT NULL
);
CREATE INDEX chunks_process ON chunks(process_id, first_ns);

-- Misuse of the heap by the program: each was reported on its standard error when it happened, and
-- it aborted unless run with --on-error continue. NULL: not known.
CREATE TABLE misuses(
  process_id         INTEGER NOT NULL REFERENCES processes,
  at_ns              INTEGER NOT NULL,   -- when it was noticed
  thread             INTEGER,            -- threads.number of who was there then
  kind               TEXT NOT NULL,      -- double free, freed block (realloc or malloc_usable_size
                                         -- of one), interior pointer, foreign pointer, overflow
                                         -- (found with --guard), write after free
  address            INTEGER NOT NULL,   -- what the program handed over, or wrote to
  block_address      INTEGER,            -- the block that is concerned
  size_bytes         INTEGER,            -- as it was requested
  allocated_stack_id INTEGER,
  freed_stack_id     INTEGER,            -- of a freed block; with --free-stacks or --guard
  stack_id           INTEGER,            -- where it was noticed
  text               TEXT NOT NULL       -- the first line of the report
);

-- What the recording itself said: warnings, refused clients, lost connections, full disks.
CREATE TABLE notes(
  run_id     INTEGER NOT NULL,           -- 0: about the file
  process_id INTEGER NOT NULL DEFAULT 0,
  at_ns      INTEGER NOT NULL DEFAULT 0,
  text       TEXT NOT NULL
);

-- A stack as 'main;f;g', outermost first: every function, those that were inlined too. What has no
-- name is 'MODULE+0xOFFSET', code made at run time '0xADDRESS'. ';' separates functions and nothing
-- else: one inside a name is written ':', so [u8; 2] is '[u8: 2]' here, in the function
-- stack_text() and in `heaptape export --format folded`; frames.function has the name as it is.
-- (n only ends the walk through a damaged file.)
CREATE VIEW stack_text AS
SELECT stack_id, (
  WITH RECURSIVE walk(n, at, frame_id) AS (
    SELECT 0, stacks.parent_stack_id, stacks.frame_id
    UNION ALL
    SELECT n + 1, iif(f.outer_frame_id > 0, at, s.parent_stack_id),
           iif(f.outer_frame_id > 0, f.outer_frame_id, s.frame_id)
    FROM walk LEFT JOIN frames f ON f.frame_id = walk.frame_id
         LEFT JOIN stacks s ON s.stack_id = at
    WHERE (f.outer_frame_id > 0 OR s.stack_id > 0) AND n < 32768
  )
  SELECT group_concat(name, ';') FROM (
    SELECT replace(coalesce(function, iif(build_id LIKE 'process-%', NULL, path || '+') ||
                            printf('0x%x', offset), printf('0x%x', offset)), ';', ':') AS name
    FROM walk LEFT JOIN frames USING (frame_id) LEFT JOIN modules USING (module_id)
    ORDER BY n DESC LIMIT -1)
) AS text FROM stacks;

-- What was never freed, by where it was allocated, most bytes first.
CREATE VIEW leaks AS
SELECT p.run_id, t.process_id, t.stack_id, t.live_blocks, t.live_bytes
FROM stack_totals t JOIN processes p USING(process_id)
WHERE t.live_blocks > 0 ORDER BY t.live_bytes DESC;

-- What was live at each process's peak.
CREATE VIEW peak AS
SELECT p.run_id, t.process_id, t.stack_id, p.peak_ns AS at_ns, t.peak_blocks, t.peak_bytes
FROM stack_totals t JOIN processes p USING(process_id)
WHERE t.peak_blocks > 0 ORDER BY t.peak_bytes DESC;

CREATE VIEW hot_sites AS
SELECT p.run_id, t.process_id, t.stack_id, t.allocations, t.allocated_bytes, t.temporary
FROM stack_totals t JOIN processes p USING(process_id) ORDER BY t.allocations DESC;

CREATE VIEW temporaries AS
SELECT p.run_id, t.process_id, t.stack_id, t.temporary, t.allocations
FROM stack_totals t JOIN processes p USING(process_id)
WHERE t.temporary > 0 ORDER BY t.temporary DESC;

-- The virtual tables over `chunks`, which heaptape_sqlite.so and `heaptape sql` add to a connection;
-- `heaptape sql '.schema events'` prints what stands here. Columns that do not apply are NULL or 0.
--
-- events(                  one row per event, in order of time within a process
--   run_id INTEGER,
--   process_id INTEGER,
--   thread_id INTEGER,             threads.thread_id of the thread that made the call
--   seq INTEGER,                   counts the thread's events from 0 without gap
--   at_ns INTEGER,                 malloc: after the block was taken; free: before it is given away
--   kind TEXT,                     malloc calloc realloc memalign free, sbrk brk mmap munmap mremap
--                                  madvise, span unspan (pages dedicated to blocks, and free again),
--                                  live (a block that was live when recording was switched on),
--                                  resume (it was switched on: what was known before is void, and
--                                  what there is follows as span, unspan and live events)
--   origin TEXT,                   program, or allocator: it asked for or parted its pages
--   address INTEGER,               of the block or the pages; 0: the request failed
--   size_bytes INTEGER,            requested; of a free: of the block; sbrk: the signed step
--   usable_bytes INTEGER,          what the block can hold; span: the size of its blocks
--   stack_id INTEGER,              who called; of a free: who had allocated the block
--   old_address INTEGER,           realloc: the block before; mremap: the pages; sbrk: the new break;
--                                  live: the block itself, if it was recorded before (then what
--                                  follows is filled as for a free)
--   allocated_at_ns INTEGER,       of the block that ends with a free or realloc
--   allocated_by_thread_id INTEGER,
--   old_size_bytes INTEGER,        realloc and mremap: of what was before
--   old_usable_bytes INTEGER,
--   old_stack_id INTEGER,          realloc: who had allocated the block before
--   free_stack_id INTEGER,         who frees it, where that is known (see chunks)
--   chunk_id INTEGER HIDDEN        the chunk that holds the event
-- );
-- allocations(             one row per block that was ever handed out, from its begin to its end
--   run_id INTEGER,
--   process_id INTEGER,
--   thread_id INTEGER,             that allocated it
--   address INTEGER,
--   size_bytes INTEGER,            requested
--   usable_bytes INTEGER,          with what rounding up to a size class adds
--   stack_id INTEGER,              where it was allocated
--   allocated_at_ns INTEGER,       NULL: before the recording
--   freed_at_ns INTEGER,           NULL: never (a realloc ends one row and begins another); of a
--                                  block that was freed while recording was off: the end of that
--                                  gap, and what follows is NULL
--   lifetime_ns INTEGER,
--   freed_by_thread_id INTEGER,
--   freed_stack_id INTEGER,        where that is known (see chunks)
--   listed_at_ns INTEGER           of a block that was never recorded before it was found live as
--                                  recording was switched on: when that was
-- );
-- pages(                   the heap's map: one row per page that the allocator holds
--   address INTEGER,
--   span_address INTEGER,          first page of the span it belongs to; NULL: of none
--   span_pages INTEGER,
--   size_class_bytes INTEGER,      size of the span's blocks
--   live_blocks INTEGER,           that begin in this page
--   live_bytes INTEGER,            requested bytes that lie in this page
--   state TEXT,                    live, empty (of a span, without live bytes), free, released (its
--                                  memory was given back, its address kept)
--   process_id INTEGER HIDDEN,     pages(PROCESS_ID, AT_NS); needed for a quick answer
--   at_ns INTEGER HIDDEN           left out: the process's end, or now
-- );
