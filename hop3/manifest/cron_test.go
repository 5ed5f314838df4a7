package manifest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestCronLines(t *testing.T) {
	m := mustLoad(t, map[string]string{"Procfile": "web: serve\n" +
		"cron: */5 * * * *   send  \"a  b\" # * * *\ncron: @daily clean up\ncron:0\t3 * * SUN,WED *weird\nworker: work\n"})
	want := []hop3.CronEntry{
		{Name: "cron.1", Schedule: "*/5 * * * *", Command: `send  "a  b" # * * *`},
		{Name: "cron.2", Schedule: "@daily", Command: "clean up"},
		{Name: "cron.3", Schedule: "0 3 * * SUN,WED", Command: "*weird"},
	}
	if !reflect.DeepEqual(m.Cron, want) {
		t.Errorf("Cron = %+v", m.Cron)
	}
	for _, p := range append(m.Processes, m.Build.Processes...) {
		if p.Type == hop3.ProcessCron {
			t.Errorf("%+v is among the processes", p)
		}
	}
}

func TestCronTables(t *testing.T) {
	files := map[string]string{"Procfile": "web: serve\ncron: @daily not-this\n", "hop3.toml": `
[run.workers]
cron = ["*/5 * * * * one", "@hourly two"]

[[cron]]
schedule = "0 4 1 * *"
command = "report"

[[cron]]
name = "backup"
schedule = " 30 2 * * MON-FRI "
command = "pg_dump | gzip"
timezone = "Europe/Paris"
timeout = "2h"
overlap = true

[[cron]]
name = "poll"
schedule = "* * * * *"
command = "poll"
timeout = 90
`}
	want := []hop3.CronEntry{
		{Name: "cron.1", Schedule: "*/5 * * * *", Command: "one"},
		{Name: "cron.2", Schedule: "@hourly", Command: "two"},
		{Name: "cron.3", Schedule: "0 4 1 * *", Command: "report"},
		{Name: "backup", Schedule: "30 2 * * MON-FRI", Command: "pg_dump | gzip", TimeZone: "Europe/Paris", Timeout: 2 * time.Hour, Overlap: true},
		{Name: "poll", Schedule: "* * * * *", Command: "poll", Timeout: 90 * time.Second},
	}
	if m := mustLoad(t, files); !reflect.DeepEqual(m.Cron, want) {
		t.Errorf("Cron = %+v", m.Cron)
	}
	files["hop3.toml"] = "[run.workers]\ncron = \"@hourly this\"\n"
	want = []hop3.CronEntry{{Name: "cron.1", Schedule: "@hourly", Command: "this"}}
	if m := mustLoad(t, files); len(m.Warnings) != 1 || !reflect.DeepEqual(m.Cron, want) {
		t.Errorf("Cron = %+v, warnings %q", m.Cron, m.Warnings)
	}
}

// TestCronMistakes: every mistake of a file at once, each with its line.
func TestCronMistakes(t *testing.T) {
	for name, text := range map[string]string{
		"Procfile": `web: serve
cron: * 25 * * * x
cron: 0 0 31 2 * x
cron: 0 */5 * * * * x
cron: * * * * *
cron: @daily
cron: @reboot x
cron: @every 5m x
cron: 61 * * MOM 9 x
cron:
`,
		"hop3.toml": `[run.workers]
cron = [
  "@hourly fine",
  "* 25 * * * x",
  "",
  "@daily",
]
[[cron]]
schedule = "0 0 31 2 *"
command = "x"
[[cron]]
name = "a.b"
schedule = "* * * * * *"
command = " "
timezone = "Mars"
timeout = "soon"
overlap = "yes"
colour = "red"
[[cron]]
name = "twice"
timeout = "25h"
[[cron]]
name = "twice"
schedule = "@daily"
command = "x"
timeout = 0
`,
	} {
		want := map[string][]string{
			"Procfile": {
				`line 2: Invalid cron pattern: "25" is not an hour (0-23, '*' or '*/N')`,
				`line 3: Invalid cron pattern: that day never comes`,
				`line 4: Invalid cron pattern: "*" looks like a sixth time field`,
				`line 5: Invalid cron pattern: five time fields and a command are needed`,
				`line 6: @daily has no command`,
				`line 7: Invalid cron pattern: @reboot is not a time`,
				`line 8: Invalid cron pattern: "@every" is not @hourly`,
				`line 9: Invalid cron pattern: "61" is not a minute (0-59, '*' or '*/N'); "MOM" is not a month`,
				`line 10: cron has no command`,
			},
			"hop3.toml": {
				`run -> workers -> cron -> 1 (line 4): Invalid cron pattern: "25" is not an hour`,
				`run -> workers -> cron -> 2 (line 5): has no command`,
				`run -> workers -> cron -> 3 (line 6): @daily has no command`,
				`cron -> 0 -> schedule (line 9): Invalid cron pattern: that day never comes`,
				`cron -> 1 -> name (line 12): "a.b" cannot be an entry's name`,
				`cron -> 1 -> schedule (line 13): Invalid cron pattern: found 6 time fields`,
				`cron -> 1 -> command (line 14): is empty`,
				`cron -> 1 -> timezone (line 15): "Mars" is not a time zone`,
				`cron -> 1 -> timeout (line 16): "soon" is not a time`,
				`cron -> 1 -> overlap (line 17): expected true or false`,
				`cron -> 1 -> colour (line 18): Unknown field 'colour'`,
				`cron -> 2 (line 19): 'schedule' is missing`,
				`cron -> 2 (line 19): 'command' is missing`,
				`cron -> 2 -> timeout (line 21): 25h0m0s is more than a day`,
				`cron -> 3 -> name (line 23): 'twice' is the name of an entry already`,
				`cron -> 3 -> timeout (line 26): expected a number of seconds`,
			},
		}[name]
		_, err := load(t, map[string]string{name: text})
		if hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Fatalf("%s: %v", name, err)
		}
		for _, line := range want {
			if !strings.Contains(err.Error(), line) {
				t.Errorf("%s: %s is not in:\n%v", name, line, err)
			}
		}
		if n := strings.Count(err.Error(), "\n  - "); n != len(want) {
			t.Errorf("%s: %d mistakes, want %d:\n%v", name, n, len(want), err)
		}
	}
}

func TestTooManyCronEntries(t *testing.T) {
	for name, text := range map[string]string{
		"Procfile":  strings.Repeat("cron: @daily x\n", 101),
		"hop3.toml": strings.Repeat("[[cron]]\nschedule = \"@daily\"\ncommand = \"x\"\n", 101),
	} {
		if _, err := load(t, map[string]string{name: text}); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "more than 100") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
