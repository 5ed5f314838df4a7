package command

import (
	"context"
	"io"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

// typeFlag says of which type an addon is, where several have its name.
var typeFlag = Flag{Name: "type", Value: "TYPE", Help: "its type, where several have the name"}

func addonCommands() []Command {
	one := func(name, summary string, run addonVerb, flags ...Flag) Command {
		return Command{Name: "addon " + name, Summary: summary, Usage: "NAME", Who: User, Min: 1, Max: 1, Run: run.found, Flags: append([]Flag{typeFlag}, flags...)}
	}
	ofApp := func(name, summary, did string, verb attachVerb, flags ...Flag) Command {
		c := one(name, summary, func(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
			return c.changeAttachment(ctx, id, did, verb)
		}, flags...)
		c.Flags = append(c.Flags, Flag{Name: "service-type", Value: "TYPE", Help: "as --type"})
		c.Who, c.App = Deployer, NeedsApp
		return c
	}
	return []Command{
		{Name: "addon list", Aliases: []string{"addons"}, Summary: "List databases and other services of apps", Who: User, App: TakesApp, Run: addonList,
			Flags: []Flag{{Name: "type", Value: "TYPE", Help: "only those of a type"}}},
		{Name: "addon types", Summary: "List the types of addon that the server has", Who: User, Run: addonTypes},
		{Name: "addon create", Summary: "Make a database or another service", Usage: "TYPE NAME", Who: User, Min: 2, Max: 2, Run: addonCreate,
			Flags: []Flag{
				{Name: "dedicated", Help: "a server of its own, not shared with other addons"},
				{Name: "set", Value: "KEY=VALUE", Help: "an option of the type; may be given again"},
				{Name: "password-stdin", Help: "the password that the type wants is the input"},
			}},
		ofApp("attach", "Give an app the variables of an addon", "attached to", (*platform.Platform).AttachAddon, Flag{Name: "primary", Help: "without a prefix, in place of the one that has none"}),
		ofApp("detach", "Take the variables of an addon from an app", "detached from", withoutPrimary((*platform.Platform).DetachAddon)),
		ofApp("promote", "Give an app the variables without a prefix", "the primary one of", withoutPrimary((*platform.Platform).PromoteAddon)),
		one("show", "Show an addon and what its service says of it", addonShow),
		one("status", "Show whether an addon works", addonStatus),
		one("endpoint", "Show where an addon is reached", addonEndpoint),
		{Name: "addon exists", Summary: "Say whether there is an addon", Usage: "NAME", Who: User, Min: 1, Max: 1, Run: addonExists, Flags: []Flag{typeFlag}},
		one("expose", "Let the network reach an addon", addonExpose,
			Flag{Name: "source", Value: "NETWORK", Help: "who may: 203.0.113.0/24, an address, or any"}, Flag{Name: "host", Value: "NAME", Help: "the server's name in the URL"}),
		one("unexpose", "Let only this server reach an addon", addonUnexpose),
		one("rotate", "Give an addon and its apps other credentials", addonRotate),
		one("destroy", "Destroy an addon with its data", addonDestroy),
	}
}

func addonList(ctx context.Context, c *Call) ([]api.Item, error) {
	all, err := c.Platform.Addons(ctx, c.Actor(), c.App, c.Value("type"))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return []api.Item{api.Text("No addon instances.")}, nil
	}
	table := api.Table([]string{"Name", "Type", "Attached apps"})
	if c.App != "" {
		table = api.Table([]string{"Name", "Type"})
	}
	for _, a := range all {
		row := []any{a.Name, a.Type, orDash(strings.Join(a.Apps, ", "))}
		table.Rows = append(table.Rows, row[:len(table.Headers)])
	}
	return []api.Item{table}, nil
}

func addonTypes(_ context.Context, c *Call) ([]api.Item, error) {
	table := api.Table([]string{"Type", "Module"})
	for _, provider := range c.Platform.AddonTypes() {
		table.Rows = append(table.Rows, []any{provider.Name(), "hop3.addons." + provider.Name()})
	}
	if len(table.Rows) == 0 {
		return []api.Item{api.Text("This server has no types of addon.")}, nil
	}
	return []api.Item{table}, nil
}

// maxPassword is far above any real password.
const maxPassword = 4096

func addonCreate(ctx context.Context, c *Call) ([]api.Item, error) {
	req := hop3.AddonRequest{Type: c.Args[0], Name: c.Args[1], Dedicated: c.Has("dedicated"), Options: map[string][]string{}}
	for _, pair := range c.flags["set"] {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, hop3.Errorf(hop3.CodeInvalid, "--set wants KEY=VALUE, not %.60q", pair)
		}
		req.Options[key] = append(req.Options[key], value)
	}
	if c.Has("password-stdin") {
		input, err := c.piped(maxPassword)
		if err != nil {
			return nil, err
		}
		req.Secrets = hop3.AddonDetails{"password": strings.TrimRight(string(input), "\r\n")}
	}
	var out lines
	a, err := c.Platform.CreateAddon(ctx, c.Actor(), req, &out)
	if err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(),
		api.Text("Addon '%s' of type %s created.", a.Name, a.Type),
		api.Hint("addon attach "+a.Name+" --app APP", "Give it to an app with {cmd}."),
		api.Summary("created %s %s.", a.Type, a.Name)), nil
}

// piped returns what came with the call, up to a size; an error when nothing
// did.
func (c *Call) piped(most int64) ([]byte, error) {
	if c.Extra.Upload == nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "There is no input: pipe it in, as in `hop3 … < FILE`.")
	}
	r, err := c.Extra.Upload.Content()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(content)) > most {
		err = hop3.Errorf(hop3.CodeInvalid, "The input is longer than %d bytes.", most)
	}
	return content, err
}

// find returns the addon that the call names.
func (c *Call) find(ctx context.Context) (hop3.AddonID, error) {
	return c.Platform.FindAddon(ctx, c.Actor(), c.Args[0], firstOf(c.Value("type"), c.Value("service-type")))
}

// addonVerb is a command about the addon that it is called with.
type addonVerb func(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error)

// found finds the addon first.
func (verb addonVerb) found(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := c.find(ctx)
	if err != nil {
		return nil, err
	}
	return verb(ctx, c, id)
}

type attachVerb func(p *platform.Platform, ctx context.Context, who platform.Actor, app string, id hop3.AddonID, primary bool, out hop3.Output) (platform.AttachmentChange, error)

func withoutPrimary(verb func(*platform.Platform, context.Context, platform.Actor, string, hop3.AddonID, hop3.Output) (platform.AttachmentChange, error)) attachVerb {
	return func(p *platform.Platform, ctx context.Context, who platform.Actor, app string, id hop3.AddonID, _ bool, out hop3.Output) (platform.AttachmentChange, error) {
		return verb(p, ctx, who, app, id, out)
	}
}

func (c *Call) changeAttachment(ctx context.Context, id hop3.AddonID, did string, verb attachVerb) ([]api.Item, error) {
	var out lines
	change, err := verb(c.Platform, ctx, c.Actor(), c.App, id, c.Has("primary"), &out)
	if err != nil {
		return nil, out.failed(err)
	}
	has := "It has"
	if did == "detached from" {
		has = "It no longer has"
	}
	items := append(out.items(), api.Text("Addon '%s' is %s '%s'. %s %s.", id.Name, did, c.App, has, strings.Join(change.Variables, ", ")))
	switch {
	case change.Release > 0:
		items = append(items, api.Text("Release v%d is live with that.", change.Release))
	case did == "attached to":
		items = append(items, api.Text("It holds from the next start of the app on."))
	}
	return append(items, api.Summary("addon %s is %s %s.", id.Name, did, c.App)), nil
}

func addonShow(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	view, err := c.Platform.ShowAddon(ctx, c.Actor(), id)
	if err != nil {
		return nil, err
	}
	text := []string{
		"Addon '" + view.Name + "'",
		"  Type:     " + view.Type,
		"  Status:   " + statusWord(view),
		"  Team:     " + view.Team,
		"  Created:  " + view.CreatedAt.Format("2006-01-02 15:04") + " by " + orDash(view.CreatedBy),
		"  Attached: " + orDash(strings.Join(view.Apps, ", ")),
	}
	if view.App != "" {
		text = append(text, "  Made for: "+view.App)
	}
	for _, f := range view.Facts {
		text = append(text, "  "+f.Property+": "+f.Value)
	}
	items := []api.Item{api.Text("%s", strings.Join(text, "\n"))}
	if view.Trouble != "" {
		items = append(items, api.Warning("%s", view.Trouble))
	}
	return items, nil
}

func statusWord(view platform.AddonView) string {
	if view.Status == hop3.AddonReady && view.Trouble != "" {
		return "in trouble"
	}
	return string(view.Status)
}

func addonStatus(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	view, err := c.Platform.ShowAddon(ctx, c.Actor(), id)
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"Property", "Value"},
		[]any{"Name", view.Name}, []any{"Type", view.Type}, []any{"Status", statusWord(view)}, []any{"Attached apps", orDash(strings.Join(view.Apps, ", "))})
	for _, f := range view.Facts {
		table.Rows = append(table.Rows, []any{f.Property, f.Value})
	}
	if view.Trouble != "" {
		table.Rows = append(table.Rows, []any{"Trouble", view.Trouble})
	}
	return []api.Item{table}, nil
}

func addonEndpoint(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	end, err := c.Platform.AddonEndpoint(ctx, c.Actor(), id)
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Data(map[string]any{"type": id.Type, "host": end.Host, "port": end.Port, "url": end.URL}),
		api.Table([]string{"Field", "Value"}, []any{"Type", id.Type}, []any{"Host", end.Host}, []any{"Port", end.Port}, []any{"URL", hop3.Redact("URL", end.URL)}),
	}, nil
}

func addonExists(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := c.find(ctx)
	switch hop3.CodeOf(err) {
	case "", hop3.CodeNotFound:
	default:
		return nil, err
	}
	name := firstOf(id.Name, c.Args[0])
	return []api.Item{api.Data(map[string]any{"exists": err == nil, "name": name})}, nil
}

func addonRotate(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	var out lines
	if err := c.Platform.RotateAddon(ctx, c.Actor(), id, &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Text("Addon '%s' and its apps have other credentials; the old ones have ended.", id.Name), api.Summary("rotated %s.", id.Name)), nil
}

func addonDestroy(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	var out lines
	if err := c.Platform.DestroyAddon(ctx, c.Actor(), id, &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(), api.Text("Addon '%s' has been destroyed, with its data.", id.Name), api.Summary("destroyed %s %s.", id.Type, id.Name)), nil
}

func addonExpose(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	exposed, err := c.Platform.ExposeAddon(ctx, c.Actor(), id, c.Value("source"))
	if err != nil {
		return nil, err
	}
	host := firstOf(c.Value("host"), c.Platform.Settings.ControlHost)
	return []api.Item{
		api.Data(map[string]any{"type": id.Type, "name": id.Name, "host": host, "port": exposed.Port, "source": exposed.Source}),
		api.Table([]string{"Field", "Value"}, []any{"Host", host}, []any{"Port", exposed.Port}, []any{"Source", exposed.Source}),
		api.Summary("exposed %s by port %d to %s.", id.Name, exposed.Port, exposed.Source),
	}, nil
}

func addonUnexpose(ctx context.Context, c *Call, id hop3.AddonID) ([]api.Item, error) {
	if err := c.Platform.UnexposeAddon(ctx, c.Actor(), id); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("Only this server reaches '%s' now.", id.Name), api.Summary("unexposed %s.", id.Name)}, nil
}
