package sshd

import (
	"context"
	"time"
)

const (
	// keepAliveInterval is shorter than any idle timeout on the way.
	keepAliveInterval = 30 * time.Second
	// keepAliveTimeout is after how long without an answer a client is gone.
	keepAliveTimeout = 60 * time.Second
)

// command runs an exec line that is none of git's.
func (s *session) command(ctx context.Context) int {
	words, err := splitWords(s.line)
	if err != nil {
		return s.fail(err)
	}
	if len(words) > 0 && words[0] == "hop3" {
		words = words[1:]
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.keepAlive(ctx)
	return s.server.Commands(ctx, s.user, words, Console{
		Stdin: s.Channel, Stdout: s.Channel, Stderr: s.Channel.Stderr(), Terminal: s.terminal,
	})
}

// keepAlive asks the client now and then whether it is there: a shell may have
// nothing to say for a long time, and its client may vanish without a word.
func (s *session) keepAlive(ctx context.Context) {
	defer s.server.recovered("keeping an SSH connection alive")
	tick := time.NewTicker(keepAliveInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		cut := time.AfterFunc(keepAliveTimeout, func() { s.conn.Close() })
		_, _, err := s.conn.SendRequest("keepalive@openssh.com", true, nil)
		cut.Stop()
		if err != nil {
			return // the connection's end ends ctx
		}
	}
}
