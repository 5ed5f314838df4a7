package platform

import (
	"context"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// storeNow stores events for who can wait.
func (p *Platform) storeNow(ctx context.Context, events ...hop3.Event) {
	if err := p.Store.AddEvents(ctx, events...); err != nil && ctx.Err() == nil {
		p.Logger.Error("storing events", zap.Error(err))
	}
}

// pruneEvents forgets the events that are older than they are to be kept.
func (p *Platform) pruneEvents(ctx context.Context) {
	keep, most := p.Settings.EventsKeep, p.Settings.EventsMax
	if keep <= 0 || most <= 0 {
		return
	}
	if err := p.Store.PruneEvents(ctx, p.now().Add(-keep), most); err != nil && ctx.Err() == nil {
		p.Logger.Warn("forgetting old events", zap.Error(err))
	}
}

// watchDisk notes once that the disk is almost full: that deploys are refused,
// or soon will be; and once that it is not any more.
func (p *Platform) watchDisk(ctx context.Context) {
	left, enough, err := p.room()
	if err != nil {
		return // deploys say so
	}
	// Twice what a deploy needs is where it ends, so that it is said once.
	roomy := enough && left.bytes >= 2*uint64(p.Settings.MinFreeSpace) && left.files >= 2*uint64(p.Settings.MinFreeFiles)
	switch {
	case !enough && !p.diskLow.Swap(true):
		p.happened(event(ctx, hop3.EventDiskLow, "", "the disk is almost full: %d MB and %d files are left, and deploys need %d MB and %d files",
			left.bytes>>20, left.files, p.Settings.MinFreeSpace>>20, p.Settings.MinFreeFiles))
	case roomy && p.diskLow.Swap(false):
		p.happened(event(ctx, hop3.EventDiskRecovered, "", "the disk has room again: %d MB and %d files", left.bytes>>20, left.files))
	}
}
