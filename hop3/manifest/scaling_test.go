package manifest_test

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

func TestLoadScaling(t *testing.T) {
	counts, err := manifest.LoadScaling(fstest.MapFS{"SCALING": {Data: []byte("\ufeff# of a migrated app\nweb:3\n\nworker = 0\r\n")}})
	if want := map[string]int{"web": 3, "worker": 0}; err != nil || !maps.Equal(counts, want) {
		t.Errorf("%v, %v, want %v", counts, err, want)
	}
	if counts, err := manifest.LoadScaling(fstest.MapFS{}); err != nil || counts != nil {
		t.Errorf("without a file: %v, %v", counts, err)
	}
	_, err = manifest.LoadScaling(fstest.MapFS{"SCALING": {Data: []byte("web:3\nworker\nx:-1\n../y:1\nz:101\n")}})
	for _, line := range []string{"line 2", "line 3", "line 4", "line 5"} {
		if err == nil || hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), line) {
			t.Errorf("%v does not name %s", err, line)
		}
	}
}

func TestTheScalingFileWinsOverHop3TOML(t *testing.T) {
	m := mustLoad(t, map[string]string{
		"Procfile":  "web: serve\nworker: work\ncron: 0 0 * * * clean\n",
		"hop3.toml": "[scaling]\nweb = 2\nworker = 2\n",
		"SCALING":   "worker:4\ncron:3\ngone:1\n",
	})
	got := map[string]int{}
	for _, p := range m.Processes {
		got[p.Type] = p.Count
	}
	if got["web"] != 2 || got["worker"] != 4 || got["cron"] > 1 {
		t.Errorf("the counts are %v", got)
	}
}

func TestScalingOfWebMeansWhatServesHTTP(t *testing.T) {
	m := mustLoad(t, map[string]string{"Procfile": "wsgi: app:app\n", "hop3.toml": "[scaling]\nweb = 2\n"})
	if len(m.Processes) != 1 || m.Processes[0].Count != 2 {
		t.Errorf("the processes are %v", m.Processes)
	}
	m = mustLoad(t, map[string]string{"Procfile": "wsgi: app:app\n", "hop3.toml": "[scaling.wsgi]\nmax = 3\n"})
	if s := m.Scaling["web"]; s.Min != 1 || s.Max != 3 {
		t.Errorf("the scaling is %v", m.Scaling)
	}
}

func TestScalingMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"[scaling]\nweb = 101":                             "between 0 and 100",
		"[scaling.web]\nmin = 2":                           "needs a max",
		"[scaling.web]\ntarget-concurrency = 2":            "needs a max",
		"[scaling.web]\nmin = 3\nmax = 2":                  "above the max",
		"[scaling.web]\nmax = 0":                           "between 1 and",
		"[scaling.web]\nsleep-after = \"soon\"":            "is not a time",
		"[scaling.web]\nsleep-after = \"5ms\"":             "from 1s",
		"[scaling.web]\nsleep_after = \"5m\"":              "did you mean 'sleep-after'",
		"[run.workers]\nq = \"x\"\n[scaling.q]\nmax = 2":   "only processes that serve HTTP",
		"[scaling]\nweb = -1":                              "between 0 and",
		"[scaling.web]\nmax = 2\nmin = \"1\"":              "expected an integer",
		"[scaling.web]\ncount = 1.5":                       "expected an integer",
		"[scaling.web]\nmax = 2\ntarget-concurrency = -10": "between 1 and",
	} {
		_, err := load(t, map[string]string{"hop3.toml": text, "Procfile": "web: x\n"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
