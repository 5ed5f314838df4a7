// Package cron reads the schedules of cron entries and says when they are due:
// the five fields of crontab(5), or a word such as @daily, in a time zone.
//
// A field is a list, with commas, of '*', N, N-M, each optionally with /STEP;
// N/STEP means N-MAX/STEP. Months and days of the week also have English names
// of three letters; 0 and 7 are Sunday. As in crontab(5), when neither the day
// of the month nor the day of the week begins with '*', either of them is
// enough.
//
// When clocks change, a schedule that names hours keeps to its times: one that
// is skipped in spring is due right after the gap, once however many were
// skipped, and one that comes twice in autumn is due the first time only. A
// schedule of every hour goes on by the clock and is not moved.
package cron

import (
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Schedule is when something is due. The zero value is never due.
type Schedule struct {
	minutes, hours, days, months, weekdays uint64 // bit n: the value n; Sunday is 0
	// eitherDay says that the day of the month or that of the week is enough.
	eitherDay bool
}

var words = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@hourly":   "0 * * * *",
}

const wordList = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually"

// maxLength is far above any real schedule; it bounds what is done for a
// hostile one.
const maxLength = 1000

// Parse reads a schedule. A CodeInvalid error names everything that is wrong
// with it in one line, which does not repeat the schedule.
func Parse(text string) (Schedule, error) {
	if len(text) > maxLength {
		return Schedule{}, invalid("it is longer than %d characters", maxLength)
	}
	if strings.HasPrefix(text, "@") {
		return parseWord(text)
	}
	found := strings.Fields(text)
	switch {
	case len(found) == fieldCount+1:
		return Schedule{}, invalid("found 6 time fields, there are five: minute, hour, day of the month, month, day of the week; seconds are not one of them")
	case len(found) != fieldCount:
		return Schedule{}, invalid("found %d time fields, there are five: minute, hour, day of the month, month, day of the week", len(found))
	}
	var values [fieldCount]uint64
	var problems []string
	for i := range fields {
		bits, problem := fields[i].parse(found[i])
		if problem != "" {
			problems = append(problems, problem)
		}
		values[i] = bits
	}
	if len(problems) > 0 {
		return Schedule{}, invalid("%s", strings.Join(problems, "; "))
	}
	s := Schedule{minutes: values[0], hours: values[1], days: values[2], months: values[3], weekdays: values[4]}
	if s.weekdays&(1<<7) != 0 {
		s.weekdays = s.weekdays&^(1<<7) | 1
	}
	s.eitherDay = found[2][0] != '*' && found[4][0] != '*'
	if !s.comes() {
		return Schedule{}, invalid("that day never comes: no such month has so many days")
	}
	return s, nil
}

func parseWord(text string) (Schedule, error) {
	word := strings.ToLower(strings.TrimSpace(text))
	if word == "@reboot" {
		return Schedule{}, invalid("@reboot is not a time: what runs once before the app starts belongs to a 'prerun' line or [run].before-run")
	}
	five, ok := words[word]
	if !ok {
		return Schedule{}, invalid("%q is not %s", cut(text), wordList)
	}
	return Parse(five)
}

// comes reports whether there is such a day at all: no 31st of February.
func (s Schedule) comes() bool {
	if s.eitherDay {
		return true // the day of the week comes
	}
	for month, days := range [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31} {
		if has(s.months, month+1) && s.days&(1<<(days+1)-1) != 0 {
			return true
		}
	}
	return false
}

// matchesDay reports whether the schedule has times on the day of t.
func (s Schedule) matchesDay(t time.Time) bool {
	if !has(s.months, int(t.Month())) {
		return false
	}
	day, weekday := has(s.days, t.Day()), has(s.weekdays, int(t.Weekday()))
	if s.eitherDay {
		return day || weekday
	}
	return day && weekday
}

// everyHour reports whether no hour is left out.
func (s Schedule) everyHour() bool { return s.hours == 1<<24-1 }

func has(bits uint64, n int) bool { return bits&(1<<n) != 0 }

func invalid(format string, args ...any) error {
	return hop3.Errorf(hop3.CodeInvalid, format, args...)
}

// cut shortens what somebody wrote for an error.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
