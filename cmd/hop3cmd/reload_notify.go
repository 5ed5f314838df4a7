package hop3cmd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells systemd how the server is; see sd_notify(3). The zero value
// tells nobody.
type notifier struct {
	Socket   string        `json:"socket,omitempty"`
	Watchdog time.Duration `json:"watchdog,omitempty"` // how often systemd wants to hear of us
}

// notifierOf reads what systemd has set in the environment.
func notifierOf(lookup func(string) string, pid int) notifier {
	n := notifier{Socket: lookup("NOTIFY_SOCKET")}
	if for_ := lookup("WATCHDOG_PID"); for_ == "" || for_ == strconv.Itoa(pid) {
		if usec, err := strconv.ParseInt(lookup("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
			n.Watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n
}

func (n notifier) ready() error { return n.send("READY=1\nSTATUS=Serving") }

func (n notifier) stopping() error { return n.send("STOPPING=1\nSTATUS=Finishing what is under way") }

// reloading is followed by ready, of this image of the process or of the next.
func (n notifier) reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("reading the clock: %w", err)
	}
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=Reloading", now.Nano()/1000))
}

// watch tells systemd's watchdog that we are alive until ctx ends.
func (n notifier) watch(ctx context.Context) {
	if n.Watchdog == 0 || n.Socket == "" {
		return
	}
	tick := time.NewTicker(n.Watchdog / 3)
	defer tick.Stop()
	for {
		_ = n.send("WATCHDOG=1") // systemd notices by itself
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n notifier) send(state string) error {
	if n.Socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", n.Socket)
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, state); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	return nil
}

// tell prints what went wrong in telling systemd. It is never a reason to end.
func tell(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "hop3: %v\n", err)
	}
}
