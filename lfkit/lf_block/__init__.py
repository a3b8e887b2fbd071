"""The Labeling Function Block: functions vote on generated images, Θ and Φ weigh them.

Pal & Balasubramanian, Adversarial Data Programming, CVPR 2018. The paper writes n for
the number of labeling functions and m for classes; here m and k.
"""

from lfkit.lf_block.batch_votes import BatchVotes as BatchVotes
from lfkit.lf_block.dependencies import agreement as agreement
from lfkit.lf_block.dependencies import algorithm_1 as algorithm_1
from lfkit.lf_block.dependencies import row_stochastic as row_stochastic
from lfkit.lf_block.heads import DependencyJudge as DependencyJudge
from lfkit.lf_block.heads import ParameterHeads as ParameterHeads
from lfkit.lf_block.labels import aggregated as aggregated
from lfkit.lf_block.labels import perplexity as perplexity
from lfkit.lf_block.surrogate import Surrogate as Surrogate
from lfkit.lf_block.trust import Trust as Trust
