package manifest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cron"
)

// maxCron bounds the cron entries of an app.
const maxCron = 100

// timeField is what is a sixth time field rather than a program's name.
var timeField = regexp.MustCompile(`^[0-9*?][0-9*/,-]*$`)

// cronLine reads "m h dom mon dow command" or "@daily command"; problem says
// what is wrong with it, "" when nothing is.
func cronLine(line string) (entry hop3.CronEntry, problem string) {
	fields := 5
	if strings.HasPrefix(line, "@") {
		fields = 1
	}
	words := strings.Fields(line)
	command := line
	for range min(fields, len(words)) {
		command = strings.TrimSpace(command)
		end := strings.IndexFunc(command, isSpace)
		if end < 0 {
			end = len(command)
		}
		command = command[end:]
	}
	entry.Schedule = strings.Join(words[:min(fields, len(words))], " ")
	entry.Command = strings.TrimSpace(command)
	switch {
	case len(words) > fields && fields > 1 && timeField.MatchString(words[fields]):
		return entry, fmt.Sprintf("Invalid cron pattern: %q looks like a sixth time field; there are five, without seconds, and then the command", cut(words[fields]))
	case len(words) <= fields && fields > 1:
		return entry, fmt.Sprintf("Invalid cron pattern: five time fields and a command are needed, found %q", cut(line))
	}
	if problem := scheduleProblem(entry.Schedule); problem != "" {
		return entry, problem
	}
	if entry.Command == "" {
		return entry, fmt.Sprintf("%s has no command behind it", entry.Schedule)
	}
	return entry, ""
}

// isSpace is what strings.Fields splits at.
func isSpace(r rune) bool { return strings.TrimSpace(string(r)) == "" }

func scheduleProblem(schedule string) string {
	if _, err := cron.Parse(schedule); err != nil {
		return "Invalid cron pattern: " + hop3.MessageOf(err)
	}
	return ""
}

// nameCron gives the entries without a name one by their place.
func nameCron(entries []hop3.CronEntry) {
	for i := range entries {
		if entries[i].Name == "" {
			entries[i].Name = hop3.ProcessCron + "." + strconv.Itoa(i+1)
		}
	}
}
