package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// FuzzPktLines sends whatever bytes to both git services. Pkt-lines are parsed by
// stock git and by nothing of ours: what is ours is that each ends, that no
// reference moves that the server has not let through, and that it is asked
// about proper ones only.
func FuzzPktLines(f *testing.F) {
	home := f.TempDir()
	r, err := Open(home, Config{Logger: zap.NewNop(), MaxPackBytes: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	if err := r.Ensure(f.Context(), "blog"); err != nil {
		f.Fatal(err)
	}
	zero, one := strings.Repeat("0", 40), strings.Repeat("1", 40)
	pkt := func(lines ...string) []byte {
		var b bytes.Buffer
		for _, l := range lines {
			if l == "" {
				b.WriteString("0000")
			} else {
				fmt.Fprintf(&b, "%04x%s", len(l)+4, l)
			}
		}
		return b.Bytes()
	}
	for _, push := range []bool{true, false} {
		for _, input := range [][]byte{
			nil, []byte("0000"), []byte("0001"), []byte("0004"), []byte("00"), []byte("zzzz"), []byte("fff0x"), []byte("-001"),
			pkt(zero+" "+one+" refs/heads/main\x00report-status", ""),
			pkt(one+" "+zero+" refs/heads/main\x00report-status delete-refs", ""),
			pkt(zero+" "+one+" refs/heads/main\x00report-status push-options", "", "env=A=b", "no-switch", ""),
			pkt(zero+" "+one+" refs/../../x\x00", ""), pkt(zero+" "+one+" HEAD", zero+" "+one+" refs/hop3/x", ""),
			pkt("shallow "+one, zero+" "+one+" refs/heads/a\x00", ""), pkt("push-cert\x00x", "certificate version 0.1\n", "push-cert-end\n", ""),
			pkt("want "+one+" multi_ack side-band-64k\n", "", "done\n"), pkt("want x\n", ""), pkt("command=ls-refs\n", "0001"), pkt("deepen 2147483648\n", ""),
		} {
			f.Add(push, input)
		}
	}
	f.Fuzz(func(t *testing.T, push bool, input []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out, errs bytes.Buffer
		streams := Streams{Stdin: bytes.NewReader(input), Stdout: &out, Stderr: &errs}
		var err error
		if push {
			err = r.Receive(ctx, "blog", ReceiveOptions{Streams: streams, PreReceive: func(_ context.Context, p hop3.Push, _ hop3.Output) error {
				for _, u := range p.Updates {
					if strings.Contains(u.Name, "..") || strings.ContainsAny(u.Name, "\x00\n \\") {
						t.Errorf("asked about %q", u.Name)
					}
				}
				return errors.New("no")
			}})
		} else {
			err = r.Upload(ctx, "blog", streams)
		}
		if ctx.Err() != nil {
			t.Errorf("it does not end: %v", err)
		}
		if refs, err := r.Refs(t.Context(), "blog"); err != nil || len(refs) > 0 {
			t.Errorf("there are references now: %v, %v", refs, err)
		}
	})
}
