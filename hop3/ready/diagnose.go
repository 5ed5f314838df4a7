package ready

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
)

const (
	tailLines = 20
	tailBytes = 16 << 10
	// ownPrefix begins the lines that the runtime itself writes into a log.
	ownPrefix = "hop3: "
)

// ranOut says that an instance ended because it needed more memory than there
// was; nil when it did not.
func ranOut(i hop3.Instance) error {
	rest, ok := strings.CutPrefix(i.LastExit, "out of memory")
	if !ok {
		return nil
	}
	limit, ok := strings.CutPrefix(strings.TrimSuffix(rest, ")"), " (limit ")
	if !ok {
		return hop3.Errorf(hop3.CodeDeploy, "%s ran out of memory", name(i)).
			WithHint("The server has too little of it for the app.")
	}
	return hop3.Errorf(hop3.CodeDeploy, "%s ran out of memory, its limit is %s", name(i), limit).
		WithHint("Raise memory in the [limits] section of hop3.toml, or let the app use less.")
}

// diagnose says what an instance with an upstream does with ports or its
// socket, where that explains why it does not answer.
func diagnose(i hop3.Instance) string {
	if socket, ok := strings.CutPrefix(i.Upstream, "unix/"); ok && i.State == hop3.InstanceRunning {
		return diagnoseSocket(i, socket)
	}
	_, service, err := net.SplitHostPort(i.Upstream)
	wanted, _ := strconv.Atoi(service)
	if err != nil || wanted == 0 || i.State != hop3.InstanceRunning {
		return ""
	}
	if i.Container != "" {
		return fmt.Sprintf("In its container %s has to listen on $PORT, at 0.0.0.0 and not at 127.0.0.1. If it listens on another port, name that in the [docker] section of hop3.toml.", name(i))
	}
	bound, err := BoundPorts(i.PID)
	switch {
	case err != nil:
		return ""
	case len(bound) == 0:
		return fmt.Sprintf("%s listens on no port. It has to listen on $PORT (%d).", name(i), wanted)
	case !slices.Contains(bound, wanted):
		return fmt.Sprintf("%s listens on %s instead of $PORT (%d).", name(i), ports(bound), wanted)
	case (&Prober{}).Owner(i.Upstream, i.PID) != nil:
		return fmt.Sprintf("%s listens on $PORT (%d), but not at 127.0.0.1. It should listen there or at 0.0.0.0.", name(i), wanted)
	}
	return ""
}

func diagnoseSocket(i hop3.Instance, socket string) string {
	_, listens, err := procfs.UnixListener(socket)
	if err != nil || listens {
		return ""
	}
	also := ""
	if bound, err := BoundPorts(i.PID); err == nil && len(bound) > 0 {
		also = " It listens on " + ports(bound) + " instead."
	}
	return fmt.Sprintf("%s does not listen on its socket %s.%s", name(i), socket, also)
}

func ports(numbers []int) string {
	var words []string
	for _, n := range numbers {
		words = append(words, strconv.Itoa(n))
	}
	if len(words) == 1 {
		return "port " + words[0]
	}
	return "ports " + strings.Join(words, ", ")
}

// tail returns the last lines of an instance's log; none when it cannot be
// read. Where the runtime says when it started the instance, what an instance
// of the same name wrote before is left out: it would explain another failure.
func tail(i hop3.Instance) []string {
	f, err := os.Open(i.LogFile)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if _, err := f.Seek(max(info.Size()-tailBytes, 0), io.SeekStart); err != nil {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil {
		return nil
	}
	text := strings.TrimRight(strings.ToValidUTF8(string(b), "?"), "\n")
	if text == "" {
		return nil
	}
	lines := sinceStart(strings.Split(text, "\n"), i)
	return lines[max(len(lines)-tailLines, 0):]
}

// sinceStart returns the lines from the first start of an instance on, all of
// them where that is not told.
func sinceStart(lines []string, i hop3.Instance) []string {
	started := fmt.Sprintf("%s%s (v%d) starts", ownPrefix, name(i), i.Release)
	first, starts := 0, 0
	for n, line := range slices.Backward(lines) {
		if line != started {
			continue
		}
		if first, starts = n, starts+1; starts > i.Restarts {
			break
		}
	}
	return lines[first:]
}
