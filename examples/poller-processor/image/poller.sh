#!/bin/sh
# Looks through /input and submits one processor job per file to AWS Batch; where there are more files than MAX_JOBS,
# each job gets several. Hidden files and folders named target are passed over.
# From the environment: BATCH_ENDPOINT, JOB_QUEUE, PROCESSOR (a job definition), MAX_JOBS.
set -eu

list_files() {
  cd /input
  find . \( -name target -o -name '.?*' \) -prune -o -type f -print | sed 's|^\./||' | sort
}

# Reads paths, prints one line per job: the JSON body of its SubmitJob.
requests() {
  awk -v jobs="$MAX_JOBS" -v queue="$JOB_QUEUE" -v definition="$PROCESSOR" '
    function escape(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); gsub(/\t/, "\\t", s); return s }
    function flush() {
      if (count) printf "{\"jobName\":\"processor-%d\",\"jobQueue\":\"%s\",\"jobDefinition\":\"%s\",\"parameters\":{\"files\":\"%s\"}}\n", ++made, queue, definition, files
      files = ""; count = 0
    }
    { path[NR] = $0 }
    END {
      share = int((NR + jobs - 1) / jobs)
      for (i = 1; i <= NR; i++) {
        # Batch and ECS bound the overrides of one job at 8 KiB.
        if (count == share || length(files) > 6000) flush()
        files = files (count++ ? "\\n" : "") escape(path[i])
      }
      flush()
    }'
}

submit() {
  wget -q -O - --header 'Content-Type: application/json' --post-data "$1" "$BATCH_ENDPOINT/v1/submitjob" >/dev/null
}

list_files | requests >/tmp/requests
while read -r body; do
  submit "$body" || { echo "Batch refused $body" >&2; exit 1; }
done </tmp/requests
echo "submitted $(wc -l </tmp/requests) jobs"
