package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// upload is an archive on its way to the server. At a terminal it shows, as it
// is read, how far it is.
type upload struct {
	in    io.Reader
	size  int64
	out   io.Writer // nil when nobody looks
	now   func() time.Time
	sent  int64
	began time.Time
	last  time.Time // when the bar was drawn
}

const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

// uploading returns the archive with a bar where there is somebody to see it.
func (p *program) uploading(a *packed) *upload {
	u := &upload{in: a.File, size: a.size, now: time.Now}
	if isTerminal(p.Err) && !p.flags.json && p.flags.verbosity > 0 {
		u.out = p.Err
	}
	return u
}

// Read reads of the archive.
func (u *upload) Read(b []byte) (int, error) {
	if u.began.IsZero() {
		u.began = u.now()
	}
	n, err := u.in.Read(b)
	u.sent += int64(n)
	if now := u.now(); u.out != nil && now.Sub(u.last) >= barEvery {
		u.last = now
		done := int(min(u.sent, u.size) * barWidth / max(u.size, 1))
		fmt.Fprintf(u.out, "\r\x1b[KUploading %s [%s%s] %d%%", size(u.size),
			strings.Repeat("#", done), strings.Repeat(".", barWidth-done), min(u.sent, u.size)*100/max(u.size, 1))
	}
	return n, err
}

// end takes the bar away. An upload that is whole is told of in its place.
func (u *upload) end() {
	switch {
	case u.out == nil || u.last.IsZero():
	case u.sent < u.size:
		fmt.Fprint(u.out, "\r\x1b[K")
	default:
		fmt.Fprintf(u.out, "\r\x1b[KUploaded %s in %.1fs\n", size(u.size), u.now().Sub(u.began).Seconds())
	}
}
