package ready

import (
	"io"
	"os"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const (
	// maxSignals is how many signs of a crash the log of an instance that does
	// not answer may show before the gate gives up: a process that starts its
	// workers again and again never ends itself.
	maxSignals = 3
	// signalBytes bounds what is read of a log at a time.
	signalBytes = 256 << 10
)

// crashWords are what servers write when a worker of theirs has crashed.
var crashWords = []string{"throttling", "respawning", "respawned", "fatal error", "segmentation fault", "killed"}

// signals looks for signs of a crash in what is added to a log.
type signals struct {
	read  int64 // bytes seen
	count int
	last  string // the last line that was one
}

// watchSignals begins with what is added to a log from now on.
func watchSignals(file string) *signals {
	s := &signals{}
	if info, err := os.Stat(file); err == nil {
		s.read = info.Size()
	}
	return s
}

// look reads what was added to the log since the last look.
func (s *signals) look(file string) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if info.Size() < s.read {
		s.read = 0 // it was rotated
	}
	b, err := io.ReadAll(io.NewSectionReader(f, max(s.read, info.Size()-signalBytes), signalBytes))
	if err != nil {
		return
	}
	s.read = info.Size()
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "?")) {
		if isSignal(line) {
			s.count++
			s.last = strings.TrimSpace(line)
		}
	}
}

func isSignal(line string) bool {
	if strings.HasPrefix(line, ownPrefix) {
		return false // how a process ended is counted elsewhere: see gate.crashes
	}
	line = strings.ToLower(line)
	for _, word := range crashWords {
		if strings.Contains(line, word) {
			return true
		}
	}
	return false
}

// signalled returns an error once the log of an instance that is not ready has
// shown too many signs of a crash.
func (g *gate) signalled(i hop3.Instance) error {
	s := g.signals[name(i)]
	s.look(i.LogFile)
	if s.count < maxSignals {
		return nil
	}
	g.sendLog(i)
	return hop3.Errorf(hop3.CodeDeploy, "%s crashes again and again: %s", name(i), printable(s.last)).
		WithHint("Its log says more: %s", i.LogFile)
}
