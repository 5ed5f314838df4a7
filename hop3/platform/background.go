package platform

import "github.com/abilian/hop3/hop3"

// Begin starts what goes on for as long as the server does. It is called once,
// after Reconcile; Shutdown ends it.
func (p *Platform) Begin() {
	p.Go("tend", p.tendAll)
	p.Go("repair", p.repairAll)
	p.Go("traffic", p.sampleAll)
	p.beginCron()
	p.Go("previews", p.tendPreviews)
	p.Go("backups", p.tendBackups)
	p.Go("webhooks", p.resumeDeliveries)
	p.Go("event log", p.tendEvents)
	p.Go("notices", p.sendNotices)
	p.Go("crashes", p.watchCrashes)
	p.Go("addons", p.tendAddons)
	p.Go("moves", p.tendMoves)
	p.happened(event(p.tasks.ctx, hop3.EventServerStarted, "", "the server started"))
}
