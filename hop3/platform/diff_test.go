package platform

import (
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestDifferences(t *testing.T) {
	old := hop3.Release{
		Number: 1, Commit: "aaaa", Subject: "one",
		Env:       hop3.Env{"SAME": "x", "SECRET": "old-canary", "GONE": "gone-canary"},
		Processes: []hop3.Process{{Type: "web", Command: "./app", Count: 1}, {Type: "worker", Command: "./work", Count: 1}},
		Hosts:     []string{"blog.localhost"},
	}
	new := hop3.Release{
		Number: 2, Commit: "bbbb", Subject: "one",
		Env:       hop3.Env{"SAME": "x", "SECRET": "new-canary", "FRESH": "fresh-canary"},
		Processes: []hop3.Process{{Type: "web", Command: "./app", Count: 2}},
		Hosts:     []string{"blog.localhost"}, Limits: hop3.Limits{Memory: 64 << 20},
		Cron: []hop3.CronEntry{{Name: "cron.1", Schedule: "@daily", Command: "./tidy"}},
	}
	var got []string
	for _, d := range differences(old, new) {
		got = append(got, d.Property+": "+d.Old+" -> "+d.New)
	}
	want := []string{
		"Commit: aaaa -> bbbb", "Process web: 1 × ./app -> 2 × ./app", "Process worker: 1 × ./work -> ",
		"Memory limit:  -> 67108864", "Cron cron.1:  -> @daily ./tidy",
		"Variable FRESH:  -> set", "Variable GONE: set -> ", "Variable SECRET: set -> changed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := differences(old, old); len(d) > 0 {
		t.Errorf("a release differs from itself in %v", d)
	}
}
