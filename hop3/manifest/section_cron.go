package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cron"
)

// readCron reads the [[cron]] tables.
func readCron(r *reading) {
	names := map[string]bool{}
	for _, t := range r.tables("cron") {
		entry := hop3.CronEntry{
			Name:     t.text("name"),
			Schedule: strings.TrimSpace(t.text("schedule")),
			Command:  strings.TrimSpace(t.text("command")),
			TimeZone: t.zone("timezone"),
			Timeout:  t.period("timeout"),
			Overlap:  t.flag("overlap"),
		}
		t.required("schedule", "command")
		if entry.Schedule != "" {
			if problem := scheduleProblem(entry.Schedule); problem != "" {
				t.fail("schedule", "%s", problem)
			}
		}
		if _, named := t.values["name"]; named {
			switch {
			case hop3.ValidateProcessType(entry.Name) != nil:
				t.fail("name", "%q cannot be an entry's name: use 1 to 31 letters, digits, '-' or '_'", cut(entry.Name))
			case names[entry.Name]:
				t.fail("name", "'%s' is the name of an entry already", entry.Name)
			}
			names[entry.Name] = true
		}
		t.done()
		r.manifest.Cron = append(r.manifest.Cron, entry)
	}
	if len(r.manifest.Cron) > maxCron {
		r.fail("cron", "there are %d cron entries, more than %d", len(r.manifest.Cron), maxCron)
	}
}

// readCronWorkers reads [run.workers].cron: a line as in a Procfile, or a list
// of them.
func readCronWorkers(r *reading, t *table) {
	t.is(hop3.ProcessCron, anyShape(textShape(), listShape(textShape())))
	if _, single := t.values[hop3.ProcessCron].(string); single {
		r.addCron(t, t.at(hop3.ProcessCron), t.text(hop3.ProcessCron))
		return
	}
	for i, line := range t.texts(hop3.ProcessCron) {
		r.addCron(t, append(t.at(hop3.ProcessCron), strconv.Itoa(i)), line)
	}
}

func (r *reading) addCron(t *table, path []string, line string) {
	line = strings.TrimSpace(line)
	if line == "" {
		t.doc.fail(path, "has no command")
		return
	}
	entry, problem := cronLine(line)
	if problem != "" {
		t.doc.fail(path, "%s", problem)
	}
	r.manifest.Cron = append(r.manifest.Cron, entry)
}

// required reports the keys that are missing or blank.
func (t *table) required(keys ...string) {
	t.needs(keys...)
	for _, key := range keys {
		switch v, present := t.values[key]; {
		case !present:
			t.doc.fail(t.path, "'%s' is missing", key)
		case isBlank(v):
			t.fail(key, "is empty")
		}
	}
}

func isBlank(v any) bool {
	s, ok := v.(string)
	return ok && isBlankText(s)
}

// zone is the name of a time zone, "" when absent.
func (t *table) zone(key string) string {
	name := t.text(key)
	if _, err := cron.Zone(name); err != nil {
		t.fail(key, "%s", hop3.MessageOf(err))
	}
	return name
}

// period is a time such as "10m", or a number of seconds, of one second to a
// day.
func (t *table) period(key string) time.Duration {
	if _, isText := t.values[key].(string); !isText {
		n := t.seconds(key)
		t.is(key, anyShape(textShape(), secondsShape()))
		return n
	}
	d := t.duration(key, time.Second)
	if d > 24*time.Hour {
		t.fail(key, "%s is more than a day", fmt.Sprint(d))
	}
	return d
}
