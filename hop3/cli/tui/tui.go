// Package tui is `hop3 tui`: the servers' apps on a full screen. Everything it
// shows is the answer to a command that the command line has too; it asks
// again while the screen is open, and says how old an answer is when the
// server cannot be reached. A file holds one screen.
//
// Nothing here waits for the network: queries and actions are tea.Cmds, and
// their answers come back as messages. One goroutine updates the model.
package tui

import (
	"context"
	"net/url"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// Caller runs commands on a server and follows its streams; *client.Client is
// one. It is used by several goroutines at once.
type Caller interface {
	Call(ctx context.Context, args []string, extra api.Extra, archive *client.Archive) (client.Result, error)
	FollowLogs(ctx context.Context, app string, query url.Values, line func(string)) error
	FollowEvents(ctx context.Context, query url.Values, each func(api.Event)) error
	FollowDeploy(ctx context.Context, streamID string, line func(api.LogEvent)) (api.CompleteEvent, error)
}

// Server is one that can be switched to.
type Server struct {
	Name string // of the context; the address when it has none
	Dial func() (Caller, error)
}

// Command is a command line that was typed, ready to be sent.
type Command struct {
	Args    []string
	Streams bool   // its progress comes as a stream
	Target  string // what it destroys; "" when it destroys nothing
	Typed   bool   // the target's name must be typed to confirm
}

// Options are what the screens are shown with. All fields but App are
// required.
type Options struct {
	Servers []Server // the first one is shown first
	App     string   // whose page is opened first; "" for the dashboard
	// Parse makes a command of words as they are typed behind `hop3`; app is
	// the one on the screen, "" for none. Its errors are for the person.
	Parse func(words []string, app string) (Command, error)
}

// Run shows the screens on the terminal until the person leaves. It gives the
// terminal back as it was, also when it fails.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what is still being asked and followed
	m := newModel(ctx, o)
	if err := m.connect(0); err != nil {
		return err
	}
	_, err := tea.NewProgram(m, tea.WithContext(ctx)).Run()
	return err
}

// tick is when it is looked at what is due.
type tick struct{}

const tickEvery = time.Second

func every() tea.Cmd { return tea.Tick(tickEvery, func(time.Time) tea.Msg { return tick{} }) }
