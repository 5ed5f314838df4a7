package manifest

import (
	"fmt"
	"strconv"
	"strings"
)

var cronFields = []struct {
	name     string
	min, max int
}{
	{"minute", 0, 59}, {"hour", 0, 23}, {"day of the month", 1, 31}, {"month", 1, 12}, {"day of the week", 0, 7},
}

// cronProblem says what is wrong with "m h dom mon dow command", "" when nothing
// is. A field is made of *, N, N-M, each optionally with /STEP, and commas between them.
func cronProblem(line string) string {
	words := strings.Fields(line)
	if len(words) <= len(cronFields) {
		return fmt.Sprintf("Invalid cron pattern: five time fields and a command are needed, found %q", cut(line))
	}
	for i, field := range cronFields {
		for _, part := range strings.Split(words[i], ",") {
			if !validCronPart(part, field.min, field.max) {
				return fmt.Sprintf("Invalid cron pattern: %q is not a %s (%d-%d, '*' or '*/N')", cut(words[i]), field.name, field.min, field.max)
			}
		}
	}
	return ""
}

func validCronPart(part string, low, high int) bool {
	span, step, stepped := strings.Cut(part, "/")
	if stepped && !within(step, 1, high) {
		return false
	}
	if span == "*" {
		return true
	}
	from, to, ranged := strings.Cut(span, "-")
	return within(from, low, high) && (!ranged || within(to, low, high))
}

func within(s string, low, high int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= low && n <= high
}
