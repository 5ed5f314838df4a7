package cron

import (
	"fmt"
	"strconv"
	"strings"
)

// field is one of the five fields of a schedule.
type field struct {
	name     string
	one      string // name with its article
	min, max int
	// top is what N/STEP goes up to, and '*'.
	top   int
	names []string // names of the values from min
}

const fieldCount = 5

var fields = [fieldCount]field{
	{"minute", "a minute", 0, 59, 59, nil},
	{"hour", "an hour", 0, 23, 23, nil},
	{"day of the month", "a day of the month", 1, 31, 31, nil},
	{"month", "a month", 1, 12, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of the week", "a day of the week", 0, 7, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// parse returns the values of a field as bits, or what is wrong with it.
func (f *field) parse(text string) (bits uint64, problem string) {
	for part := range strings.SplitSeq(text, ",") {
		more, problem := f.part(part)
		if problem != "" {
			return 0, problem
		}
		bits |= more
	}
	return bits, ""
}

// part parses one part of a list.
func (f *field) part(text string) (bits uint64, problem string) {
	span, by, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		// As many as there are values: */60 is what people write for once.
		most := f.top - f.min + 1
		n, ok := number(by)
		if !ok || n < 1 || n > most {
			return 0, fmt.Sprintf("the step of %q is not a number from 1 to %d", cut(text), most)
		}
		step = n
	}
	low, high, ok := f.span(span, stepped)
	switch {
	case !ok:
		return 0, fmt.Sprintf("%q is not %s (%s)", cut(text), f.one, f.allowed())
	case low > high:
		return 0, fmt.Sprintf("the range %q of the %s ends before it begins", cut(span), f.name)
	}
	for n := low; n <= high; n += step {
		bits |= 1 << n
	}
	return bits, ""
}

func (f *field) span(text string, stepped bool) (low, high int, ok bool) {
	if text == "*" {
		return f.min, f.top, true
	}
	from, to, ranged := strings.Cut(text, "-")
	low, ok = f.value(from)
	if !ok {
		return 0, 0, false
	}
	switch {
	case ranged:
		high, ok = f.value(to)
		if high == 0 && f.max == 7 && low > 0 && strings.EqualFold(to, "sun") {
			high = 7 // FRI-SUN
		}
	case stepped:
		high = max(f.top, low)
	default:
		high = low
	}
	return low, high, ok
}

// value is a number of the field, or a name.
func (f *field) value(text string) (int, bool) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.min + i, true
		}
	}
	n, ok := number(text)
	return n, ok && n >= f.min && n <= f.max
}

func (f *field) allowed() string {
	s := fmt.Sprintf("%d-%d, '*' or '*/N'", f.min, f.max)
	if len(f.names) > 0 {
		s = fmt.Sprintf("%d-%d, %s-%s, '*' or '*/N'", f.min, f.max,
			strings.ToUpper(f.names[0]), strings.ToUpper(f.names[len(f.names)-1]))
	}
	return s
}

// number is a number of digits only, without a sign.
func number(text string) (int, bool) {
	if text == "" || len(text) > 4 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
