// Package ready finds out whether the instances of a release may get its
// requests, and says why when they may not.
package ready

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

const (
	defaultProbeTimeout = 3 * time.Second
	maxBody             = 256 << 10 // of what a check's Contains is looked for in
	maxExcerpt          = 120       // of a body, in an error
)

// Prober asks instances over HTTP. The zero value is ready to use, also
// concurrently.
type Prober struct{}

// Probe makes one request for check.Path to an upstream and returns nil when
// the answer satisfies the check, else an error that says what came instead.
//
// A path that was asked for must answer 2xx or 3xx. Without one "/" is asked,
// and as many apps have nothing there, any status below 500 will do. Redirects
// are answers and are not followed. With check.Contains the first 256 KiB of
// the body must contain it.
func (p *Prober) Probe(ctx context.Context, upstream, host string, check hop3.HealthCheck) error {
	timeout := cmp.Or(check.Timeout, defaultProbeTimeout)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline).Round(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	path := cmp.Or(check.Path, "/")
	resp, err := get(ctx, upstream, host, path)
	if err != nil {
		return notAnswered(ctx, err, path, timeout)
	}
	defer resp.Body.Close()
	limit := http.StatusInternalServerError
	if check.Path != "" {
		limit = http.StatusBadRequest
	}
	if resp.StatusCode >= limit {
		return fmt.Errorf("GET %s answered %s%s", path, status(resp), excerpt(resp.Body))
	}
	if check.Contains == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if bytes.Contains(body, []byte(check.Contains)) {
		return nil
	}
	if err != nil {
		return notAnswered(ctx, err, path, timeout)
	}
	return fmt.Errorf("GET %s answered %s without %q in it", path, status(resp), check.Contains)
}

// Private

var errRefused = errors.New("nothing answers at its address yet (connection refused)")

func get(ctx context.Context, upstream, host, path string) (*http.Response, error) {
	network, address := "tcp", upstream
	if file, ok := strings.CutPrefix(upstream, "unix/"); ok {
		network, address = "unix", file
	}
	// One transport a request: the instance is asked as a stranger would ask,
	// and no connection is left open.
	transport := &http.Transport{
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://upstream"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Host = cmp.Or(host, "localhost")
	req.Header.Set("User-Agent", "Hop3-Readiness")
	return transport.RoundTrip(req)
}

// notAnswered says what happened instead of an answer.
func notAnswered(ctx context.Context, err error, path string, timeout time.Duration) error {
	var netErr net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT):
		return errRefused
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Errorf("GET %s had no answer within %s", path, timeout)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("GET %s: the connection was closed without an answer", path)
	}
	return fmt.Errorf("GET %s: %w", path, err)
}

// status is the status line's code in our words: the app's own could hold
// anything.
func status(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
}

// excerpt returns the first line of a body that is text, after a colon.
func excerpt(body io.Reader) string {
	line, _ := bufio.NewReader(io.LimitReader(body, 4<<10)).ReadString('\n')
	line = strings.TrimSpace(strings.ToValidUTF8(line, ""))
	if line == "" || strings.HasPrefix(line, "<") {
		return ""
	}
	return ": " + printable(line)
}

// printable is a line of somebody else's, shortened and without what moves a
// terminal's cursor.
func printable(line string) string {
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, line)
	if runes := []rune(line); len(runes) > maxExcerpt {
		line = string(runes[:maxExcerpt]) + "…"
	}
	return line
}
