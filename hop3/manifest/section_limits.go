package manifest

import (
	"regexp"
	"strconv"
	"strings"
)

var memorySize = regexp.MustCompile(`^([0-9]{1,12})([KMGkmg]?)$`)

func readLimits(r *reading) {
	t := r.table.table("limits")
	if t == nil {
		return
	}
	l := &r.manifest.Limits
	l.Memory = t.memory("memory")
	l.CPU = t.number("cpu")
	t.is("cpu", cpuShape())
	if _, ok := t.values["cpu"]; ok && !(l.CPU > 0 && l.CPU <= 4096) {
		t.fail("cpu", "expected a number of cores above 0")
	}
	l.Processes = t.integer("processes", 1, 1<<22)
	t.done()
}

func cpuShape() *shape {
	above, most := int64(0), int64(4096)
	return &shape{Type: "number", ExclusiveMinimum: &above, Maximum: &most}
}

// memory is a size in bytes, or with the suffix K, M or G.
func (t *table) memory(key string) int64 {
	s := t.text(key)
	t.is(key, patternShape(memorySize.String()))
	if _, ok := t.values[key]; !ok {
		return 0
	}
	m := memorySize.FindStringSubmatch(s)
	if m == nil {
		t.fail(key, "%q is not a size such as 512M", cut(s))
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	switch strings.ToUpper(m[2]) {
	case "K":
		n <<= 10
	case "M":
		n <<= 20
	case "G":
		n <<= 30
	}
	if n < 1 || n > 1<<50 {
		t.fail(key, "%q is out of range", cut(s))
		return 0
	}
	return n
}
