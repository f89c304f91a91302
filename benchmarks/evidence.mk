# What the numbers and pictures of docs/ are made by; the Makefile includes it, so targets are called as any others.

# every network in three seeds, compared on both test sets; hours on two cores, and resumable
SEEDS ?= 0 1 2
REAL ?= $(or $(HRCAM_REAL_DATA),../shared/data)
RESULTS := benchmarks/results
TEST_SETS := simulated $(if $(wildcard $(REAL)/oasis_healthy_t1),second)

$(WORK)/cohort/manifest.json: | $(STAMP)
	$(MAKE) cohort

$(WORK)/second/manifest.json: | $(STAMP)
	$(BIN)/python benchmarks/second_lesions.py --output $(@D) $(patsubst %,--anatomy %,$(sort $(wildcard $(REAL)/oasis_healthy_t1/*.nii.gz)))

$(WORK)/simulated/manifest.json: $(WORK)/cohort/manifest.json
	ln -sfn cohort $(@D)

$(WORK)/joint_%/model.pt: $(WORK)/two_stage_%/model.pt
	$(RUN) --config_file bundle/configs/train.json --dataset_dir $(WORK)/cohort --output_dir $(@D) --seed $* --resume True \
		--base_epochs 0 --base_weights $(WORK)/two_stage_$*/base_cnn.pt

$(WORK)/two_stage_%/model.pt: $(WORK)/cohort/manifest.json
	$(RUN) --config_file "['bundle/configs/train.json','bundle/configs/two_stage.json']" --dataset_dir $(WORK)/cohort \
		--output_dir $(@D) --seed $* --resume True

$(WORK)/fitted_%/model.pt: $(WORK)/two_stage_%/model.pt
	$(BIN)/python -m hrcam_monai fit-head --backbone bundle/configs/train.json --checkpoint $(WORK)/two_stage_$*/base_cnn.pt \
		--dataset-dir $(WORK)/cohort --output $(@D) --seed $*

$(WORK)/densenet/base_cnn.pt: $(WORK)/cohort/manifest.json
	$(RUN) --config_file "['bundle/configs/train.json','benchmarks/densenet.json']" --dataset_dir $(WORK)/cohort \
		--output_dir $(@D) --resume True

$(WORK)/densenet_fitted/model.pt: $(WORK)/densenet/base_cnn.pt
	$(BIN)/python -m hrcam_monai fit-head --backbone benchmarks/densenet.json --checkpoint $< --dataset-dir $(WORK)/cohort \
		--output $(@D)

$(RESULTS)/densenet_%.json: $(WORK)/%/manifest.json $(WORK)/densenet_fitted/model.pt
	$(BIN)/python -W ignore -m hrcam_monai compare --dataset-dir $(WORK)/$* --output $(WORK)/densenet_$* --resume \
		--network fitted=$(WORK)/densenet_fitted/model.pt:$(WORK)/densenet_fitted/backbone.json,benchmarks/densenet.json \
		--network base=$(WORK)/densenet/base_cnn.pt:benchmarks/densenet.json --method "MONAI Grad-CAM" --no-alike --faithfulness 0
	cp $(WORK)/densenet_$*/comparison.json $@

# every peer on the first seed; on the others those that the targets name
FEW := --no-alike --method "MONAI Grad-CAM" --method "TorchCAM LayerCAM"

# $(1): test set, $(2): seed
define COMPARE
$(RESULTS)/compare_$(1)_$(2).json: $(WORK)/$(1)/manifest.json $(WORK)/joint_$(2)/model.pt $(WORK)/fitted_$(2)/model.pt
	$(BIN)/python -W ignore -m hrcam_monai compare --dataset-dir $(WORK)/$(1) --output $(WORK)/compare_$(1)_$(2) --resume \
		--network joint=$(WORK)/joint_$(2)/model.pt --network two-stage=$(WORK)/two_stage_$(2)/model.pt:two_stage \
		--network fitted=$(WORK)/fitted_$(2)/model.pt:$(WORK)/fitted_$(2)/backbone.json \
		--network base=$(WORK)/two_stage_$(2)/base_cnn.pt --seed $(2) $(if $(filter-out $(firstword $(SEEDS)),$(2)),$(FEW))
	cp $(WORK)/compare_$(1)_$(2)/comparison.json $$@
endef
$(foreach t,simulated second,$(foreach s,$(SEEDS),$(eval $(call COMPARE,$(t),$(s)))))

.PHONY: evidence
evidence: $(foreach t,$(TEST_SETS),$(foreach s,$(SEEDS),$(RESULTS)/compare_$(t)_$(s).json) $(RESULTS)/densenet_$(t).json) ## docs/results.md: three seeds of every network beside every CAM (4 hours)
	$(BIN)/python benchmarks/unet_ceiling.py --cohort $(WORK)/cohort $(foreach t,$(TEST_SETS),--test $(t)=$(WORK)/$(t))
	$(BIN)/python benchmarks/sanity.py --cohort $(WORK)/cohort
	$(BIN)/python benchmarks/healthy_heads.py --data $(REAL) --cohort $(WORK)/cohort
	$(BIN)/python benchmarks/evidence.py

TUMOUR_RUN = $(BIN)/python benchmarks/tumours.py --data $(REAL) --name $(1) --fold $(2) --seed $(3) &&

.PHONY: evidence-tumours
evidence-tumours: $(STAMP) ## docs/real_tumours.md: five folds, three seeds of both real sets (a quarter of an hour each)
	$(foreach s,$(SEEDS),$(foreach n,glioma_flair brain_tumor_t1ce,$(foreach f,0 1 2 3 4,$(call TUMOUR_RUN,$n,$f,$s)))) true
	$(BIN)/python benchmarks/tumours_table.py

TUMOUR_PEER_RUN = $(BIN)/python benchmarks/tumour_peers.py --data $(REAL) --name $(1) --peer $(2) &&

.PHONY: evidence-tumour-peers
evidence-tumour-peers: $(STAMP) ## docs/real_tumours.md: other networks, and a ceiling, on the first fold of both real sets (2 hours)
	$(foreach n,glioma_flair brain_tumor_t1ce,$(foreach p,unet gp_unet gp_unet_from_means ame_cam efficientnet_b0 densenet121,$(call TUMOUR_PEER_RUN,$n,$p))) true
	$(BIN)/python benchmarks/tumours_without_image.py --data $(REAL)
	$(BIN)/python benchmarks/tumours_table.py --peers-only

# people: their scans as `prepare` hands them on, heads of them to train with, and what is found in people never seen
$(WORK)/people/%/table.csv: | $(STAMP)
	mkdir -p $(@D)
	(echo subject,file; cd $(REAL)/$* && ls *.nii.gz | sed 's/\(.*\)_T1w.nii.gz/$*-\1,&/') > $@

$(WORK)/people/%/done: $(WORK)/people/%/table.csv
	$(BIN)/python -m hrcam_monai prepare $(REAL)/$* --table $< --unlabelled --strip never --output $(@D)
	touch $@

$(WORK)/people/heads/manifest.json: $(WORK)/people/anatomy_cc0/done $(WORK)/people/anatomy_pddl/done
	$(BIN)/python -m hrcam_monai simulate --task drawn_abnormalities --output $(@D) --subjects 720 --split 4 1 0 \
		$(patsubst %/done,--anatomy %/images,$^)

$(WORK)/people_%/model.pt: $(WORK)/people/heads/manifest.json
	$(RUN) --config_file "['bundle/configs/train.json','bundle/configs/drawn_lesions.json','bundle/configs/people.json']" \
		--dataset_dir $(WORK)/people/heads --output_dir $(@D) --seed $* --resume True

$(WORK)/people_compared_%/comparison.json: $(WORK)/people_%/model.pt $(WORK)/second/manifest.json
	$(BIN)/python -W ignore -m hrcam_monai compare --dataset-dir $(WORK)/second --output $(@D) --resume --seed $* \
		--overlay people --network people=$(WORK)/people_$*/model.pt --network base=$(WORK)/people_$*/base_cnn.pt \
		--method "MONAI Grad-CAM" --method "TorchCAM LayerCAM"

.PHONY: evidence-people
evidence-people: $(foreach s,$(SEEDS),$(WORK)/people_compared_$(s)/comparison.json) ## docs/people.md: trained on people, asked about people never seen (an hour and a half a seed)
	$(BIN)/python -W ignore benchmarks/people_ceiling.py --cohort $(WORK)/people/heads --second $(WORK)/second
	$(BIN)/python benchmarks/people.py --second $(WORK)/second $(foreach c,$^,--compared $(dir $(c)))
	$(BIN)/python benchmarks/healthy_heads.py --data $(REAL) --cohort $(WORK)/people/heads --weights $(WORK)/people_0/model.pt \
		--site OASIS --page docs/people.md --output $(RESULTS)/people/healthy_heads.json
	$(BIN)/python benchmarks/whole_heads.py --data $(REAL) --model $(WORK)/people_0 --page docs/people.md
	$(BIN)/python -W ignore benchmarks/failures.py --study $(WORK)/second=$(WORK)/people_compared_0 --weights $(WORK)/people_0/model.pt \
		--name people --output docs/figures/people_worst.png
	$(BIN)/python -W ignore benchmarks/healthy_picture.py --data $(REAL) --weights $(WORK)/people_0/model.pt \
		--results $(RESULTS)/people/healthy_heads.json --output docs/figures/people_healthy.png

PHANTOM_CV = $(BIN)/python -W ignore -m hrcam_monai cross-validate --dataset-dir $(WORK)/$(1) --output $(WORK)/$(1)_folds
COARSE_TUMOURS := --set "spacing=[2,2,2]" --set "roi_size=[80,100,80]" --set slice_sigma=2.0 \
	--set base_epochs=25 --set val_interval=10 --set map_class=glioblastoma
GROUP = $(BIN)/python -W ignore -m hrcam_monai group $(WORK)/$(1)_folds --output $(WORK)/$(1)_group --dataset-dir $(WORK)/$(1)

.PHONY: phantoms
phantoms: $(STAMP) ## docs/tasks.md: both tasks cross-validated on phantoms, beside Grad-CAM, and on real scans (1 hour)
	$(BIN)/python -m hrcam_monai simulate --task parkinson_nm --output $(WORK)/parkinson_nm --subjects 200 --seed 5
	$(call PHANTOM_CV,parkinson_nm) --overlay tasks/parkinson_nm --set map_class=parkinson
	$(BIN)/python -W ignore benchmarks/phantoms.py --folds $(WORK)/parkinson_nm_folds --name parkinson_nm
	$(call GROUP,parkinson_nm) --spacing 1 --fwhm 2 --covariate age
	$(BIN)/python -m hrcam_monai simulate --task ependymoma_gbm --output $(WORK)/ependymoma_gbm --subjects 160 --seed 5 --spacing 2
	$(call PHANTOM_CV,ependymoma_gbm) --overlay tasks/ependymoma_gbm $(COARSE_TUMOURS)
	$(BIN)/python -W ignore benchmarks/phantoms.py --folds $(WORK)/ependymoma_gbm_folds --name ependymoma_gbm
	$(call GROUP,ependymoma_gbm)
	$(if $(wildcard $(REAL)/glioma_t1ce),HRCAM_REAL_DATA=$(REAL) $(BIN)/python -W ignore benchmarks/real_scans.py --work $(WORK)/real \
		--tumours $(WORK)/ependymoma_gbm_folds/fold_0/model.pt --nigra $(WORK)/parkinson_nm_folds/fold_0/model.pt)

# the same from what a hospital or an archive hands over: DICOM of the slabs (some are refused: prepare ends with 1), BIDS of the heads
TRY := $(WORK)/rehearsal
PREPARE = $(BIN)/python -m hrcam_monai prepare $(TRY)/$(1)_source/source --output $(TRY)/$(1) --masks $(TRY)/$(1)_source/masks --split 1 0 0
TRY_CV = $(BIN)/python -W ignore -m hrcam_monai cross-validate --dataset-dir $(TRY)/$(1) --output $(TRY)/$(1)_folds

# $(1): name, $(2): subjects, $(3): seed
define TRY_SLABS
	$(BIN)/python -m hrcam_monai simulate --task parkinson_nm --output $(TRY)/$(1)_drawn --subjects $(2) --seed $(3)
	$(BIN)/python benchmarks/as_source.py --cohort $(TRY)/$(1)_drawn --output $(TRY)/$(1)_source --layout dicom
	-$(call PREPARE,$(1)) --series NM --labels $(TRY)/$(1)_source/labels.csv --roi 0 -20 -15 \
		--regions $(TRY)/$(1)_source/regions --slices-from regions --covariate age --covariate grade
	$(call TRY_CV,$(1)) --overlay tasks/parkinson_nm --set map_class=parkinson
	$(BIN)/python -W ignore benchmarks/phantoms.py --folds $(TRY)/$(1)_folds --name rehearsal_$(1)
endef

.PHONY: rehearsal
rehearsal: $(STAMP) ## docs/tasks.md: phantoms of both tasks from DICOM and BIDS to group maps, how slabs are placed, N4 (2 hours)
	$(call TRY_SLABS,parkinson_nm_200,200,5)
	$(call TRY_SLABS,parkinson_nm_80,80,7)
	$(BIN)/python -W ignore -m hrcam_monai group $(TRY)/parkinson_nm_200_folds --output $(TRY)/parkinson_nm_200_group \
		--dataset-dir $(TRY)/parkinson_nm_200 --spacing 1 --fwhm 2 --covariate age
	$(BIN)/python -m hrcam_monai simulate --task ependymoma_gbm --output $(TRY)/ependymoma_gbm_drawn --subjects 80 --seed 7 --spacing 2
	$(BIN)/python benchmarks/as_source.py --cohort $(TRY)/ependymoma_gbm_drawn --output $(TRY)/ependymoma_gbm_source --layout bids
	$(call PREPARE,ependymoma_gbm) --match ce-gd --slices-from masks --covariate grade
	$(call TRY_CV,ependymoma_gbm) --overlay tasks/ependymoma_gbm $(COARSE_TUMOURS)
	$(BIN)/python -W ignore benchmarks/phantoms.py --folds $(TRY)/ependymoma_gbm_folds --name rehearsal_ependymoma_gbm
	$(BIN)/python -W ignore benchmarks/picture.py --folds $(TRY)/parkinson_nm_200_folds --level 3 --output docs/figures/nigra.png \
		--grade mild --grade moderate --grade severe
	$(BIN)/python -W ignore benchmarks/picture.py --folds $(TRY)/ependymoma_gbm_folds --level 2 --output docs/figures/tumours.png \
		--grade hemisphere --grade "fourth ventricle" --grade "lateral ventricle"
	$(BIN)/python -W ignore benchmarks/slabs.py --cohort $(TRY)/parkinson_nm_80_drawn --data $(REAL)
	$(BIN)/python -W ignore benchmarks/bias_field.py --cohort $(TRY)/parkinson_nm_80_drawn

.PHONY: bench
bench: $(STAMP) ## docs/benchmarks.md: speed, memory and throughput beside other tools (15 minutes)
	$(BIN)/python -m hrcam_monai simulate --output $(WORK)/bench --subjects 40 --seed 0 --split 1 0 0
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/exports.py
	$(BIN)/python benchmarks/throughput.py --cohort $(WORK)/bench
	$(BIN)/python benchmarks/streaming.py --cohort $(WORK)/bench
	$(BIN)/python benchmarks/tables.py

.PHONY: figure
figure: $(STAMP) ## The README's picture: HR-CAM beside other maps on new heads
	$(BIN)/python -m hrcam_monai simulate --output $(WORK)/figure --subjects 8 --seed 99 --split 0 0 1
	$(BIN)/python benchmarks/picture.py --cohort $(WORK)/figure --grade plain --grade moderate --grade faint
